"""A sample of drawn configurations and requests, on every real nginx and in the model; `make fidelity` draws more."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tools.fidelity.batch import Batch
from tools.fidelity.conf import Node, node, render, smaller, walk
from tools.fidelity.coverage import all_constructs, constructs, of_ask
from tools.fidelity.draw import draw_sample
from tools.fidelity.report import write
from tools.fidelity.run import Tally, run
from tools.fidelity.sample import Ask, Sample, lacking
from tools.fidelity.shrink import judge, shrink
from tools.fidelity.speech import name_answer, protocol_of
from tools.fidelity.wire import Wire, is_handshake
from ws101.host.binary import NginxBinary, all_nginx
from ws101.http1 import Request
from ws101.nginx import plan
from ws101.nginx.build import Build
from ws101.syntax import parse
from ws101.text import Source

SEED = os.environ.get("WS101_SEED", "sample")
PAIRS = int(os.environ.get("WS101_PAIRS", "5000"))
"""For each version."""
PARTS = 3
"""A version's pairs are drawn in parts, which may run side by side."""


@pytest.mark.parametrize("part", range(PARTS))
def test_model_and_nginx_agree_on_drawn_configurations_and_requests(
    binary: NginxBinary, part: int, tmp_path: Path
) -> None:
    tally = run(binary, tmp_path, PAIRS // PARTS, f"{SEED}/{part}", show=1)
    assert not tally.mismatches, f"seed {SEED}:\n{tally.mismatches[0]}"
    assert tally.unknown_pairs <= tally.pairs / 100, str(tally)
    assert tally.run_time_pairs
    assert tally.run_time_unknown
    assert tally.kinds["proxied"] > tally.pairs / 4
    assert tally.tunnels
    assert not tally.timed_out
    assert sum(tally.refused.values()) < tally.samples / 20, str(tally)


def test_every_construct_of_the_table_is_drawn() -> None:
    samples = [draw_sample(f"constructs/{number}", run_time=number % 5 == 0) for number in range(700)]
    drawn = Counter(place for sample in samples for place in constructs(sample))
    drawn.update(place for sample in samples for ask in sample.asks for place in of_ask(ask))
    assert not set(all_constructs()) - set(drawn)
    assert set(drawn) <= set(all_constructs())


def test_a_sample_holds_the_constructs_that_stand_in_it() -> None:
    location = node(
        "location", "=", "/x", block=[node("proxy_pass", "https://unix:__SOCK__:/uri"), node("mirror", "off")]
    )
    sample = Sample("x", (), (node("server", block=[node("listen", "__ADDR__:__PORT__", "http2"), location]),), ())
    assert {title for _, title in constructs(sample)} == {
        "address and port",
        "http2",
        "location =",
        "proxy_pass with URI",
        "unix sockets",
        "https",
    }


def test_what_a_build_lacks_is_named() -> None:
    build = Build((1, 22, 1), ("--without-http_geo_module",))
    assert lacking(build, frozenset(("http_geo", "http_map", "1.25.1", "1.22.1"))) == ("1.25.1", "http_geo")


def test_the_backends_know_the_other_protocols() -> None:
    assert protocol_of(b"\1\1\0\1\0\x08") == "fastcgi_pass"
    assert protocol_of(b"\0\x20\0\0\x09\0") == "uwsgi_pass"
    assert protocol_of(b"70:CONTENT_LENGTH\x000\0") == "scgi_pass"
    assert protocol_of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == "grpc_pass"
    assert not protocol_of(b"GET / HTTP/1.1\r\n")


def test_the_name_server_knows_the_names_of_its_domain() -> None:
    question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0%s\0\0\1\0\1"
    known, other = (name_answer(question % name) for name in (b"\1A\3DNS\4test", b"\1a\5other"))
    assert known.startswith(b"\x12\x34\x81\x80")
    assert known.endswith(b"\x7f\0\0\1")
    assert other.startswith(b"\x12\x34\x81\x83")


def test_the_page_says_what_was_drawn_and_what_was_left_out(tmp_path: Path) -> None:
    tally = Tally("1.22.1", pairs=90, run_time_pairs=10, samples=20, unknown_pairs=1)
    tally.unknown["a reason"] = tally.lacking["http_geo"] = 7
    tally.coverage["listening", "TLS"] = 33
    write(tmp_path / "page.md", [tally], "s")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    for line in ("| 1.22.1 | 100 | 10 | 20 |", "| a reason | 7 |", "| http_geo_module | 7 |", "| TLS | 33 |"):
        assert line in text, line
    assert "(fidelity-syntax.md)" in text


def test_a_seed_draws_the_same_sample_again() -> None:
    assert draw_sample("a/1") == draw_sample("a/1")
    assert draw_sample("a/1").text != draw_sample("a/2").text


def test_what_is_drawn_reads_back_as_the_same_directives() -> None:
    for number in range(40):
        sample = draw_sample(f"read/{number}")
        tree = parse(Source("c", sample.text))
        assert not tree.problems
        drawn = [item.name for item in walk((*sample.http, *sample.servers))]
        read = []
        stack = list(reversed(tree.directives))
        while stack:
            directive = stack.pop()
            read.append(directive.name)
            stack += reversed(directive.block or [])
        assert read == drawn


def test_a_smaller_tree_has_one_directive_less() -> None:
    tree = (node("a", block=[node("b", "x y"), node("c")]),)
    texts = [render(candidate) for candidate in smaller(tree)]
    assert texts == ["", "a {\n    c;\n}\n", 'a {\n    b "x y";\n}\n']


def test_a_wrong_model_is_caught_and_cut_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: a planted fault gives a counterexample without anything that does not matter."""
    binary = all_nginx()[0]
    location = node(
        "location", "/", block=[node("proxy_pass", "http://__B0__"), node("proxy_set_header", "Upgrade", "x")]
    )
    noise = node("location", "/noise", block=[node("return", "204")])
    server = node("server", block=[node("listen", "__ADDR__:__PORT__"), noise, location])
    ask = Ask(Request("GET", "/far/away?x=y", "HTTP/1.1", (("Host", "a.test"), ("X-Noise", "1"))))
    sample = Sample("planted", (), (server,), (ask,))
    wire = Wire(tmp_path)
    try:
        with Batch(binary, wire, [sample]) as batch:
            assert [judged.differences for judged in judge(batch)] == [()]
        monkeypatch.setattr(plan, "effective_all", lambda _scope, _name: ())
        with Batch(binary, wire, [sample]) as batch:
            (judged,) = judge(batch)
            small = shrink(judged, binary, wire)
    finally:
        wire.close()
    assert [difference.what for difference in small.differences] == ["bytes"]
    assert {item.name for item in walk(small.sample.servers)} == {
        "server",
        "listen",
        "location",
        "proxy_pass",
        "proxy_set_header",
    }
    (asked,) = small.sample.asks
    assert asked.request.target == "/"
    assert asked.request.headers == (("Host", "a.test"),)
    assert "DIFFERENT bytes" in str(small)


def test_a_refused_sample_is_dropped_alone(tmp_path: Path) -> None:
    binary = all_nginx()[0]
    good = _answering(node("return", "204"))
    bad_line = _answering(node("proxy_set_header", "one"))
    bad_variable = _answering(node("proxy_set_header", "X", "$nobody"), node("proxy_pass", "http://__B0__"))
    wire = Wire(tmp_path)
    try:
        with Batch(binary, wire, [good, bad_line, bad_variable, good]) as batch:
            assert [refused.sample for refused in batch.refused] == [bad_line, bad_variable]
            assert [pair.seen.status for pair in batch.pairs()] == [204, 204]
    finally:
        wire.close()


def _answering(*lines: Node) -> Sample:
    location = node("location", "/", block=lines)
    server = node("server", block=[node("listen", "__ADDR__:__PORT__"), location])
    return Sample("x", (), (server,), (Ask(Request("GET", "/", "HTTP/1.1", (("Host", "x"),))),))


HANDSHAKE = (
    "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: a, Upgrade\r\n"
    "Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_the_backend_knows_an_opening_handshake() -> None:
    assert is_handshake(HANDSHAKE.encode())
    for wrong in (
        HANDSHAKE.replace("GET", "POST"),
        HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"),
        HANDSHAKE.replace("WebSocket\r\n", "h2c\r\n", 1),
        HANDSHAKE.replace("a, Upgrade", "close"),
        HANDSHAKE.replace("Sec-WebSocket-Key: k\r\n", ""),
        HANDSHAKE.replace("Sec-WebSocket-Key: k\r\n", "Sec-WebSocket-Key: k\r\nContent-Length: 1\r\n"),
        HANDSHAKE.replace("Upgrade: WebSocket\r\n", "Upgrade: WebSocket\r\nUpgrade: x\r\n"),
    ):
        assert not is_handshake(wrong.encode()), wrong
