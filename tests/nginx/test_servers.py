"""Which server answers: addresses, names, defaults; first by the documented facts, then by asking a real nginx."""

from __future__ import annotations

import random
import re
import time

import pytest

from tests.nginx.asking import MARK, ask, config_of, serving
from ws101.host.binary import NginxBinary
from ws101.http1 import Request
from ws101.lab.nginx import accepts, wrap
from ws101.lab.ports import free_ports
from ws101.nginx.build import Build
from ws101.nginx.config import Config
from ws101.nginx.requests import ClientSettings, Received, read_request
from ws101.nginx.servers import Ambiguous, Choice, Group, Listeners, Socket, listeners, parse_listen, server_names

BUILD = Build((1, 31, 3))


def config_with(servers: str) -> Config:
    return config_of(f"http {{ {servers} }}")


def listening(servers: str, build: Build = BUILD) -> Listeners:
    return listeners(config_with(servers), build)


def group_of(servers: str, address: str | None = None, port: int = 80) -> Group:
    found = listening(servers).group(address, port)
    assert isinstance(found, Group)
    return found


def name_of(choice: Choice) -> str:
    """The word a test server returns, as its mark."""
    line = choice.server.first("return")
    assert line is not None
    return line.args[1]


NAMES = r"""
server { listen 80; return 200 first; server_name other.test; }
server { listen 80; return 200 exact; server_name Exact.test a.wild.test; }
server { listen 80; return 200 wild; server_name *.wild.test *.deep.wild.test; }
server { listen 80; return 200 dot; server_name .dot.test; }
server { listen 80; return 200 tail; server_name mail.* www.mail.*; }
server { listen 80; return 200 regex; server_name ~^(?<user>.+)\.re\.test$; }
server { listen 80; return 200 later; server_name ~re ~^B ~^c; }
server { listen 80; return 200 empty; }
server { listen 80 default_server; return 200 default; server_name d.test; }
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("exact.test", "exact"),
        ("a.wild.test", "exact"),
        ("b.wild.test", "wild"),
        ("x.y.wild.test", "wild"),
        ("wild.test", "default"),
        ("dot.test", "dot"),
        ("a.b.dot.test", "dot"),
        ("xdot.test", "default"),
        ("mail.org", "tail"),
        ("mail.co.uk", "tail"),
        ("mail", "default"),
        ("mail.wild.test", "wild"),
        ("me.re.test", "regex"),
        ("re.test", "later"),
        ("bzz", "later"),
        ("", "empty"),
        ("unheard-of", "default"),
    ],
)
def test_exact_then_leading_then_trailing_then_pattern_then_default(host: str, expected: str) -> None:
    assert name_of(group_of(NAMES).find(host)) == expected


def test_the_first_server_is_the_default_unless_another_says_so() -> None:
    choice = group_of("server { listen 80; return 200 a; } server { listen 80; return 200 b; }").find("x")
    assert name_of(choice) == "a"
    assert choice.why == "no name matches, and it is the first on 0.0.0.0:80"
    choice = group_of("server { listen 80; return 200 a; } server { listen 80 default; return 200 b; }").find("x")
    assert name_of(choice) == "b"
    assert choice.origin is not None
    assert choice.origin.args == ("80", "default")


def test_a_pattern_gives_its_captures_even_to_a_lone_server() -> None:
    choice = group_of(r"server { server_name ~^(?<user>\w+)\.test$; }").find("me.test")
    assert choice.captures is not None
    assert choice.captures.named == (("user", "me"),)
    alone = group_of("server { server_name ~^a; }").find("b.test")
    assert (alone.captures, alone.why) == (None, "it is the only one there")


@pytest.mark.parametrize(
    ("servers", "host", "expected"),
    [
        ("server_name x.test; return 200 a; | server_name x.test y.test; return 200 b;", "x.test", "a"),
        ("server_name x.test; return 200 a; | server_name .x.test; return 200 b;", "q.x.test", "a"),
        ("server_name *.x.test; return 200 a; | server_name .x.test; return 200 b;", "x.test", "a"),
        ("server_name .x.test; return 200 a; | server_name x.test; return 200 b;", "x.test", "a"),
    ],
)
def test_the_first_of_conflicting_names_wins_and_nginx_warns(servers: str, host: str, expected: str) -> None:
    group = group_of("".join(f"server {{ listen 80; {body} }}\n" for body in servers.split("|")))
    assert name_of(group.find(host)) == expected
    (problem,) = group.name_problems
    assert problem.level == "warn"
    assert re.fullmatch(r'conflicting server name "[^"]+" on 0\.0\.0\.0:80, ignored', problem.message)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("80", ("0.0.0.0:80",)),
        ("*:8080", ("0.0.0.0:8080",)),
        ("127.0.0.1", ("127.0.0.1:80",)),
        ("127.0.0.1:81", ("127.0.0.1:81",)),
        ("[::]:443", ("[::]:443",)),
        ("[::1]", ("[::1]:80",)),
        ("[0:0::1]:5", ("[::1]:5",)),
        ("localhost:82", ("127.0.0.1:82", "[::1]:82")),
        ("8000-8002", ("0.0.0.0:8000", "0.0.0.0:8001", "0.0.0.0:8002")),
        ("unix:/run/a.sock", ("unix:/run/a.sock",)),
        ("Example.test:90", ("example.test:90",)),
    ],
)
def test_every_form_of_listen_is_read(listen: str, expected: tuple[str, ...]) -> None:
    assert tuple(map(str, parse_listen((listen,)).sockets)) == expected


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("0",), 'invalid port in "0" of the "listen" directive'),
        (("a:70000",), 'invalid port in "a:70000" of the "listen" directive'),
        (("90-80",), 'invalid port range in "90-80" of the "listen" directive'),
        (("80", "sll"), 'invalid parameter "sll"'),
        (("unix:",), 'no path in the unix domain socket in "unix:" of the "listen" directive'),
    ],
)
def test_a_listen_that_nginx_refuses_says_why(args: tuple[str, ...], error: str) -> None:
    assert parse_listen(args).error == error


def test_a_server_without_listen_is_on_port_80() -> None:
    (group,) = listening("server { }").groups
    assert group.socket == Socket("0.0.0.0", 80)


def test_a_specific_address_comes_before_the_wildcard_of_its_port() -> None:
    servers = (
        "server { listen 80; return 200 any; server_name a.test; } server { listen 127.0.0.1:80; return 200 one; }"
    )
    assert name_of(group_of(servers, "127.0.0.1").find("a.test")) == "one"
    assert name_of(group_of(servers, "10.0.0.1").find("a.test")) == "any"
    assert name_of(group_of(servers, None).find("a.test")) == "any"


def test_ipv6_wildcards_take_ipv4_only_if_told() -> None:
    assert listening("server { listen [::]:80; }").group("127.0.0.1", 80) is None
    both = listening("server { listen [::]:80 ipv6only=off; }")
    assert both.group("127.0.0.1", 80) is both.groups[0]
    assert both.group("::1", 80) is both.groups[0]


def test_where_the_local_address_would_decide_the_answer_is_ambiguous() -> None:
    two = listening("server { listen 127.0.0.1:80; } server { listen 127.0.0.2:80; }")
    found = two.group(None, 80)
    assert isinstance(found, Ambiguous)
    assert found.groups == two.groups
    assert two.group("127.0.0.3", 80) is None
    assert two.group("127.0.0.1", 81) is None


def test_a_name_in_listen_is_known_only_at_run_time() -> None:
    named = listening("server { listen www.example.com:80; }")
    assert isinstance(named.group("192.0.2.1", 80), Ambiguous)
    assert named.group(None, 80) is named.groups[0]


def test_unix_sockets_and_quic_have_groups_of_their_own_or_none() -> None:
    found = listening("server { listen unix:/a; listen 443 quic; }")
    assert [str(group.socket) for group in found.groups] == ["unix:/a"]
    assert found.group(None, None, "/a") is found.groups[0]
    assert found.group(None, None, "/b") is None


def test_one_listen_decides_the_protocol_for_all_servers_of_the_address() -> None:
    group = group_of("server { listen 443; } server { listen 443 ssl http2 proxy_protocol; }", port=443)
    assert (group.ssl, group.http2, group.proxy_protocol) == (True, True, True)
    assert not group_of("server { listen 443; }", port=443).ssl


@pytest.mark.parametrize(("version", "ssl", "http2"), [((1, 22, 1), True, False), ((1, 31, 3), False, True)])
def test_protocol_directives_count_where_the_version_has_them(
    version: tuple[int, int, int], ssl: bool, http2: bool
) -> None:
    (group,) = listening("ssl on; server { http2 on; }", Build(version)).groups
    assert (group.ssl, group.http2) == (ssl, http2)


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ("server { listen 80; listen *:80; }", "a duplicate listen 0.0.0.0:80"),
        (
            "server { listen 80 default_server; } server { listen 80 default; }",
            "a duplicate default server for 0.0.0.0:80",
        ),
    ],
)
def test_duplicates_are_reported_in_nginx_words(servers: str, message: str) -> None:
    (problem,) = listening(servers).problems
    assert (problem.level, problem.message) == ("emerg", message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("*", 'server name "*" is invalid'),
        ("*a.b", 'server name "*a.b" is invalid'),
        (".", 'server name "." is invalid'),
        ("~", 'empty regex in server name "~"'),
        ("a..b", 'invalid server name or wildcard "a..b" on 127.0.0.1:1'),
        ("a*b", 'invalid server name or wildcard "a*b" on 127.0.0.1:1'),
    ],
)
def test_a_bad_name_is_refused_as_nginx_refuses_it(binary: NginxBinary, name: str, message: str) -> None:
    servers = f"server {{ listen 127.0.0.1:1; server_name {name}; }} server {{ listen 127.0.0.1:1; }}"
    (problem,) = listening(servers).groups[0].name_problems
    assert (problem.level, problem.message) == ("emerg", message)
    accepted, said = accepts(wrap(servers, binary=binary), binary=binary)
    assert not accepted
    assert message in said


def test_an_unreadable_include_leaves_a_doubt_where_it_may_matter() -> None:
    servers = "server { return 200 a; server_name a.test; } server { include gone.conf; server_name b.test; }"
    group = group_of(servers)
    assert group.find("a.test").unknown is None
    assert group.find("b.test").unknown is None
    assert group.find("c.test").unknown is not None
    assert group_of("include gone.conf; server { server_name a.test; }").find("a.test").unknown is not None


def test_the_name_of_the_machine_is_known_only_there() -> None:
    group = group_of("server { server_name a.test; } server { server_name $hostname; }")
    assert group.find("a.test").unknown is None
    assert group.find("b.test").unknown is not None


def test_ten_thousand_servers_are_indexed_and_found_quickly() -> None:
    config = config_with(
        "".join(f"server {{ listen 80; server_name s{i}.test www.s{i}.test; }}\n" for i in range(10_000))
    )
    assert len(config.servers) == 10_000
    started = time.process_time()
    group = listeners(config, BUILD).group(None, 80)
    assert isinstance(group, Group)
    for i in range(0, 10_000, 3):
        origin = group.find(f"www.s{i}.test").origin
        assert origin is not None
        assert origin.args[1] == f"www.s{i}.test"
    assert time.process_time() - started < 1.5


WORDS = ("a", "b", "t", "x", "A", "x-y", "q")
CHOICES = (
    *("a.t", "b.a.t", ".a.t", "*.a.t", "a.*", "b.a.*", r"~^(.+)\.t$", "~A", "~^b", "~^(?<q>x.)", "*.t", ".t", "B.A.T"),
    *("*.b.a.t", ".b.a.t", "t", "a", "b.*", '""', "x.a.t", "a.t.*", "~^()$", "*.x-y", ".B.a"),
)


def generated(rng: random.Random, ports: tuple[int, ...]) -> str:
    """Servers with random names, several to a port, some on two addresses; each returns its number and ``$1``."""
    lines = ["server_names_hash_bucket_size 128;"]
    for port in ports:
        count = rng.randrange(1, 6)
        default = rng.randrange(-2, count)
        for at in range(count):
            names = [
                f"server_name {' '.join(rng.sample(CHOICES, rng.randrange(1, 4)))};" for _ in range(rng.randrange(3))
            ]
            second = f"listen 127.0.0.2:{port};" if rng.random() < 0.2 else ""
            listen = f"listen 127.0.0.1:{port}{' default_server' if at == default else ''}; {second}"
            lines.append(f"server {{ {listen} {' '.join(names)} return 200 '{len(lines)}{MARK}$1'; }}")
    return "\n".join(lines)


def predicted(group: Group, request: Request, build: Build) -> str:
    received = read_request(request, build, ClientSettings(), lambda host: (group.find(host), ClientSettings()))
    assert isinstance(received, Received)
    assert isinstance(received.server, Choice)
    captures = received.server.captures
    first = captures.groups[1:2] if captures else ()
    return name_of(received.server).replace("$1", (first[0] if first else None) or "")


def random_host(rng: random.Random) -> str:
    return ".".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 5))) + rng.choice(("", "", ".", ":80"))


def test_a_real_nginx_takes_the_same_servers_and_warns_of_the_same_names(binary: NginxBinary) -> None:
    rng = random.Random(7)
    ports = free_ports(30)
    text = generated(rng, ports)
    warned = re.findall(r"\[warn\] (?:\d+#\d+: )?(conflicting.*)", accepts(wrap(text, binary=binary), binary=binary)[1])
    with serving(binary, text) as (config, _):
        found = listeners(config, binary.build)
        assert found.problems == ()
        assert sorted(p.message for g in found.groups for p in g.name_problems) == sorted(warned)
        for port in ports:
            for _ in range(10):
                host = rng.choice((random_host(rng), random_host(rng), None))
                request = Request("GET", "/", "HTTP/1.1" if host else "HTTP/1.0", (("Host", host),) if host else ())
                address = rng.choice(("127.0.0.1", "127.0.0.2"))
                group = found.group(address, port)
                if isinstance(group, Group):
                    assert ask(port, request, address).body == predicted(group, request, binary.build), (
                        host,
                        group.servers,
                    )


def test_server_names_lists_every_name_with_its_line() -> None:
    server = config_with("server { server_name a b; server_name c; }").servers[0]
    assert [(line.args, name) for line, name in server_names(server)] == [
        (("a", "b"), "a"),
        (("a", "b"), "b"),
        (("c",), "c"),
    ]
