"""What somebody hostile could bring: names, configuration text, answers, symlinks, includes, sizes, commands.

docs/security.md names the test of each threat.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import SITE, Done, fingerprint, ws101
from ws101.errors import ApplyError
from ws101.host.files import DiskFiles
from ws101.host.journal import Journal, lock, new_id
from ws101.host.recovery import recover
from ws101.host.staging import Stage
from ws101.host.target import Target

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of another user")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Control characters but tab and line end, and what turns text around or hides it."""

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egnp.exe\u2066"


def assert_harmless(done: Done) -> None:
    for text in (done.out, done.err):
        plain = COLOUR.sub("", text)
        assert not (found := UNSAFE.search(plain)), repr(plain[max(0, found.start() - 80) : found.end() + 20])
    assert "this is a defect" not in done.err


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A configuration whose folder, file names and text all try to take over the terminal."""
    folder = tmp_path / f"conf{HOSTILE}\nerror: fine"
    folder.mkdir()
    text = SITE.replace("example.com;", f'example.com "x{HOSTILE}";').replace(
        "location /ws {", f'location "/{HOSTILE}" {{ return 200 "{HOSTILE}"; }}\n location /ws {{ # {HOSTILE}'
    )
    text = text.replace("http {", f'http {{ include "sub/*.conf"; # {HOSTILE}\n')
    (folder / "nginx.conf").write_bytes(as_bytes(text))
    (folder / "sub").mkdir()
    (folder / f"sub/a{HOSTILE}\nb.conf").write_bytes(as_bytes(f"no_such_directive '{HOSTILE}';\n"))
    return folder


COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "CONF", "--color", "always"),
    "explain": ("explain", "ws://example.com:8080/ws", "--conf", "CONF", "--color", "always"),
    "diagnose": ("diagnose", "ws://example.com:8080/ws", "--conf", "CONF", "--offline", "--color", "always"),
    "fix": ("fix", "CONF", "--url", "ws://example.com:8080/ws", "--color", "always"),
    "write": ("fix", "CONF", "--url", "ws://example.com:8080/ws", "--write", "--color", "always"),
    "apply": ("apply", "CONF", "--to", "CONF/nginx.conf", "--color", "always"),
    "missing": ("check", "CONF/nowhere"),
    "url": ("probe", f"ws://127.0.0.1:1/{HOSTILE}"),
    "command": (f"{HOSTILE}",),
    "option": ("check", f"--{HOSTILE}"),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("refused", [True, False], ids=["refused by nginx", "accepted"])
def test_hostile_names_and_text_never_reach_the_terminal_raw(hostile: Path, name: str, refused: bool) -> None:
    if not refused:
        for path in (hostile / "sub").iterdir():
            path.write_bytes(b"# nothing\n")
    done = ws101(*(word.replace("CONF", os.fsdecode(bytes(hostile))) for word in COMMANDS[name]))
    assert done.out or done.err
    assert_harmless(done)


def test_the_history_shows_hostile_names_harmlessly(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, new_id())
    record = {"path": f"/etc/{HOSTILE}", "real": "/x", "sibling": "/y", "old": None, "new": None, "in_place": ""}
    journal.append("begin", at=1.0, title=HOSTILE)
    journal.append("prepared", files=[record])
    journal.append("applied", reason=HOSTILE)
    done = ws101("undo", "--list", "--color", "always", WS101_STATE=str(tmp_path))
    assert "owned" in done.out
    assert_harmless(done)


@contextlib.contextmanager
def answering(data: bytes) -> Iterator[int]:
    """A server that answers every connection with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        connection.sendall(data)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        server.join(5)


@pytest.mark.parametrize("kind", ["reason", "header", "body", "noise"])
def test_hostile_answers_never_reach_the_terminal_raw(kind: str) -> None:
    evil = as_bytes(HOSTILE.replace("\r", ""))
    head, body = b"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\nX: y\r\n", b"text"
    data = {
        "reason": head.replace(b"Bad", b"Bad" + evil) + b"\r\n" + body,
        "header": head.replace(b"y", evil) + b"\r\n" + body,
        "body": head + b"\r\n" + evil,
        "noise": evil,
    }[kind]
    with answering(data) as port:
        for command in (("probe", f"ws://127.0.0.1:{port}/ws"), ("diagnose", f"ws://127.0.0.1:{port}/ws")):
            done = ws101(*command, "--color", "always", "--timeout", "3")
            assert done.out
            assert_harmless(done)


def test_an_include_that_leads_outside_is_read_as_nginx_does_and_never_written(tmp_path: Path) -> None:
    folder, secret = tmp_path / "conf", tmp_path / "shadow"
    folder.mkdir()
    secret.write_text("root:$6$verysecret$hash:19000:0:99999:7:::\n" + "verysecret" * 6 + "\n")
    (folder / "nginx.conf").write_text(SITE.replace("http {", f"http {{ include {secret}; include ../shadow;"))
    before = fingerprint(tmp_path)
    for command in (("check", str(folder)), ("fix", str(folder), "--write"), ("fix", str(folder), "--format", "json")):
        done = ws101(*command)
        assert "verysecret" not in done.out + done.err
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("kind", ["huge", "endless", "pipe"])
def test_what_is_no_file_of_sane_size_is_never_read_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    included = {"huge": tmp_path / "huge", "endless": Path("/dev/zero"), "pipe": tmp_path / "pipe"}[kind]
    if kind == "huge":
        with included.open("wb") as file:
            file.truncate(300 * 1024 * 1024)
    elif kind == "pipe":
        os.mkfifo(included)
    (tmp_path / "nginx.conf").write_text(SITE.replace("http {", f"http {{ include {included};"))
    named = ws101("check", str(included))
    assert named.code == 2
    assert "larger than" in named.err or "not a file" in named.err
    done = ws101("check", str(tmp_path))
    assert str(included) in done.out
    assert "larger than" in done.out or "not a file" in done.out


def test_commands_are_never_given_to_a_shell(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(SITE)
    bait = tmp_path / "bait"
    command = f"false; touch {bait} $(touch {bait}) `touch {bait}`"
    done = ws101(
        *("fix", str(tmp_path), "--url", "ws://example.com:8080/ws", "--apply", "--unproven"),
        *("--reload-command", command, "--test-command", command),
        WS101_STATE=str(tmp_path / "state"),
    )
    assert done.code == 1, done.err
    assert "cannot run false;" in done.err
    assert not bait.exists()
    assert (tmp_path / "nginx.conf").read_text() == SITE


def test_a_sibling_planted_as_a_symlink_is_not_written_through(tmp_path: Path) -> None:
    main, victim = tmp_path / "nginx.conf", tmp_path / "victim"
    main.write_text("events {}\n")
    victim.write_text("mine")
    (tmp_path / ".nginx.conf.tag-t1").symlink_to(victim)
    with pytest.raises(ApplyError):
        Stage(DiskFiles(), str(main), "tag").write({str(main): b"events { }\n"})
    assert victim.read_text() == "mine"


@needs_root
def test_a_symlink_planted_in_a_folder_open_to_everyone_stops_fix_write(tmp_path: Path) -> None:
    victim, open_folder = tmp_path / "victim.conf", tmp_path / "open"
    victim.write_text(SITE)
    open_folder.mkdir()
    open_folder.chmod(0o1777)
    link = open_folder / "nginx.conf"
    link.symlink_to(victim)
    os.lchown(link, 65534, 65534)
    done = ws101("fix", str(link), "--url", "ws://example.com:8080/ws", "--write")
    assert done.code == 2
    assert "a symlink of user 65534" in done.err
    assert victim.read_text() == SITE


def planted(state: Path, victim: Path) -> None:
    """A journal that would have the next run as root write a file of the planter's choice."""
    journal = Journal.create(state, new_id())
    facts = Target(str(victim), test_command=("true", "{conf}")).facts
    record = {"path": str(victim), "real": str(victim), "sibling": f"{victim}.x", "in_place": ""}
    journal.append("begin", at=1.0, title="planted", target=facts, folders=[])
    journal.append("prepared", files=[record | {"old": "0" * 64, "new": "0" * 64}])
    journal.append("write", file=0)
    journal.keep("0.old", b"evil")
    journal.keep("0.new", victim.read_bytes())


@pytest.mark.parametrize("how", ["owner", "mode"])
def test_a_state_folder_that_somebody_else_could_fill_is_refused(tmp_path: Path, how: str) -> None:
    if how == "owner" and os.geteuid() != 0:
        pytest.skip("needs root: files of another user")
    state, victim = tmp_path / "state", tmp_path / "victim"
    victim.write_text("mine")
    planted(state, victim)
    if how == "owner":
        os.chown(state, 65534, 65534)
    else:
        state.chmod(0o777)
    with pytest.raises(ApplyError, match=r"belongs to user|written by others"):
        recover(state)
    with pytest.raises(ApplyError), lock(state):
        pass
    done = ws101("undo", "--recover", WS101_STATE=str(state))
    assert done.code == 2
    assert "WS101_STATE" in done.err
    assert victim.read_text() == "mine"


def test_the_state_folder_is_closed_to_others(tmp_path: Path) -> None:
    with lock(tmp_path / "state"):
        journal = Journal.create(tmp_path / "state", new_id())
        journal.append("begin")
        journal.keep("0.old", b"secret")
    for path in (tmp_path / "state", *(tmp_path / "state").rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077 or path.parent == tmp_path / "state", path
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
