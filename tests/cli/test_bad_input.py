from __future__ import annotations

import os
import socket
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.support import SITE, Done, fingerprint, ws101

FILES = {
    "good/nginx.conf": SITE,
    "empty.conf": "",
    "page.html": "<!DOCTYPE html><html><body>hello</body></html>\n",
    "data.json": '{"a": [1, 2, 3]}\n',
    "binary": "\x7fELF\x02\x01\x01\0\0\0\0\0",
    "broken.conf": "events {}\nhttp {\n    server {\n        listen 80\n    }\n}\n",
    "loop/nginx.conf": "events {}\nhttp { include nginx.conf; }\n",
    "missing/nginx.conf": "events {}\nhttp { server { listen 80; include gone.conf; } }\n",
    "folder/other.conf": SITE,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    (tmp_path / "pipe").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def has_three_parts(done: Done) -> bool:
    lines = done.err.splitlines()
    return lines[0].startswith("error: ") and all(line.startswith("  ") for line in lines[1:])


CASES = {
    "no such file": (["check", "gone.conf"], 2, "no such file"),
    "a dangling link": (["check", "pipe"], 2, "no such file"),
    "a named pipe": (["check", "fifo"], 2, "named pipe"),
    "a folder without nginx.conf": (["check", "folder"], 2, "has no nginx.conf"),
    "an empty file": (["check", "empty.conf"], 2, "nothing in it"),
    "a web page": (["check", "page.html"], 2, "not an nginx configuration"),
    "a JSON file": (["check", "data.json"], 2, "not an nginx configuration"),
    "a program": (["check", "binary"], 2, "not an nginx configuration"),
    "fix of no such file": (["fix", "gone.conf", "--write"], 2, "no such file"),
    "fix of nothing": (["fix"], 2, "what is to be fixed?"),
    "write and apply": (["fix", "good", "--write", "--apply"], 2, "exclude each other"),
    "explain without a file": (["explain", "ws://example.com/ws", "--conf", "gone"], 2, "no such file"),
    "explain of a wrong scheme": (["explain", "ftp://example.com/", "--conf", "good"], 2, "scheme"),
    "probe of a wrong scheme": (["probe", "gopher://example.com/"], 2, "scheme"),
    "diagnose of a wrong scheme": (["diagnose", "ftp://example.com/"], 2, "scheme"),
    "diagnose of no address": (["diagnose", "it does not work"], 2, "no address"),
    "an address without a scheme": (["example.com/ws"], 2, "neither a command nor an address"),
    "a command that is not there": (["chekc"], 2, "there is no command"),
    "a file instead of a command": (["good/nginx.conf"], 2, "there is no command"),
    "an option that is not there": (["check", "good", "--frmat", "json"], 2, "no such option"),
    "a version that is none": (["check", "good", "--nginx-version", "new"], 2, "is not a version"),
    "nginx and a version": (["check", "good", "--nginx", "x", "--nginx-version", "1.22.1"], 2, "exclude each other"),
    "an nginx that is not there": (["check", "good", "--nginx", "/nowhere/nginx"], 2, "cannot run"),
    "a program that is not nginx": (["check", "good", "--nginx", "/bin/true"], 2, "not nginx"),
    "a root without a folder": (["check", "good", "--root", "/etc/nginx"], 2, "PREFIX=FOLDER"),
    "a root that is no folder": (["check", "good", "--root", "/etc/nginx=gone"], 2, "is not a folder"),
    "a header without a colon": (["probe", "ws://127.0.0.1/", "--header", "Cookie"], 2, "not a header field"),
    "a header with a line end": (["probe", "ws://127.0.0.1/", "--header", "A: b\r\nC: d"], 2, "cannot"),
    "a resolve that is none": (["probe", "ws://127.0.0.1/", "--resolve", "x"], 2, "host:port:address"),
    "a rule that is not there": (["rule", "upgrade-not-forwardd"], 2, "did you mean upgrade-not-forwarded?"),
    "a rule to select that is not there": (["check", "good", "--select", "nonsense"], 2, "there is no rule"),
    "a time that is none": (["fix", "good", "--idle-timeout", "soon"], 2, "is not a time"),
    "a told address that is none": (["check", "good", "--url", "example.com"], 2, "URL"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_a_clear_error_and_changes_nothing(case: str, place: Path) -> None:
    args, code, said = CASES[case]
    before = fingerprint(place)
    done = ws101(*args, cwd=place)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert has_three_parts(done)
    assert "Traceback" not in done.err
    assert fingerprint(place) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_an_error_that_names_the_remedy(place: Path) -> None:
    (place / "good/nginx.conf").chmod(0)
    done = ws101("check", "good", cwd=place)
    assert done.code == 2
    assert "no permission" in done.err


def test_a_syntax_error_is_shown_in_nginxs_words_where_it_is(place: Path) -> None:
    done = ws101("check", "broken.conf", cwd=place)
    assert done.code == 1
    assert done.out.count('unexpected "}"') == 1
    assert "broken.conf:4" in done.out or "broken.conf:5" in done.out


def test_an_include_loop_is_a_problem_and_no_endless_loop(place: Path) -> None:
    done = ws101("check", "loop", "--format", "json", cwd=place)
    assert done.code == 2
    assert "includes itself" in done.json["problems"][0]["message"]


def test_a_byte_order_mark_that_swallows_the_server_is_an_error_and_no_unknown(place: Path) -> None:
    (place / "marked.conf").write_bytes(b"\xef\xbb\xbf# A site\nserver {\n    listen 80;\n}\n")
    (place / "outer.conf").write_text("events {}\nhttp { include marked.conf; }\n")
    done = ws101("check", "outer.conf", "--format", "json", cwd=place)
    assert done.code == 1
    assert [finding["rule"] for finding in done.json["findings"]] == ["invisible-characters"]


def test_a_missing_include_in_the_given_folder_is_a_problem(place: Path) -> None:
    done = ws101("check", "missing", "--format", "json", cwd=place)
    assert done.code == 1
    assert "No such file" in done.json["problems"][0]["message"]


def test_nothing_is_fixed_in_a_file_that_nginx_would_refuse(place: Path) -> None:
    before = fingerprint(place)
    done = ws101("fix", "broken.conf", "--write", cwd=place)
    assert done.code in (1, 2)
    assert fingerprint(place) == before


def test_a_configuration_from_standard_input_cannot_be_written(place: Path) -> None:
    done = ws101("fix", "-", "--url", "ws://example.com:8080/ws", "--write", stdin=SITE.encode(), cwd=place)
    assert done.code == 2
    assert "nothing can be written" in done.err


def test_no_fix_is_offered_for_what_nginx_would_refuse_all_the_same(place: Path) -> None:
    body = "location /ws { proxy_pass http://127.0.0.1:1; proxy_set_header Upgrade $http_upgrade; bad; }"
    (place / "refused.conf").write_text(f"events {{}}\nhttp {{ server {{ {body} }} }}\n")
    checked, fixed = (ws101(command, "refused.conf", cwd=place) for command in ("check", "fix"))
    assert "can be fixed when nginx accepts the files" in checked.out
    assert "ws101 fix" not in checked.out
    assert "+++" in fixed.out
    assert "--write" not in fixed.err


def test_without_a_running_nginx_nothing_is_applied(place: Path) -> None:
    before = fingerprint(place)
    done = ws101("fix", "good", "--url", "ws://example.com:8080/ws", "--apply", cwd=place)
    assert done.code == 2
    assert "no nginx that runs this configuration was found" in done.err
    assert fingerprint(place) == before


def test_a_closed_port_is_told_with_exit_code_2() -> None:
    done = ws101("probe", f"ws://127.0.0.1:{free_port()}/ws", "--format", "json")
    assert done.code == 2
    assert done.json["class"] == "refused"


def test_a_name_that_does_not_resolve_is_told_with_exit_code_2() -> None:
    done = ws101("probe", "ws://nowhere.invalid/ws", "--format", "json")
    assert done.code == 2
    assert done.json["class"] == "dns"


def test_a_server_that_speaks_no_http_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\x1b[31m")
                connection.recv(4096)

        thread = Thread(target=answer)
        thread.start()
        done = ws101("probe", f"ws://127.0.0.1:{port}/")
        thread.join()
    assert done.code == 1
    assert "SSH server answered" in done.out
    assert "\x1b" not in done.out


def test_tls_with_a_plain_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        done = ws101("probe", f"wss://127.0.0.1:{port}/")
        thread.join()
    assert done.code == 2
    assert "does not speak TLS" in done.out


def test_diagnose_of_a_closed_port_is_a_verdict() -> None:
    done = ws101(f"ws://127.0.0.1:{free_port()}/ws", "--format", "json")
    assert done.code == 1
    assert done.json["verdict"] == "broken"
    assert "Traceback" not in done.err
