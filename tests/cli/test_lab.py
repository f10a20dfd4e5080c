"""``ws101 lab``: coming up, going away, and being killed; what is broken is shown in tests/lab/test_reference.py."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
import pytest

from tests.cli.support import environment, ws101
from ws101.cli.group import command_line
from ws101.cli.lab import command as lab
from ws101.host.process import masters
from ws101.lab.faults import FAULTS
from ws101.lab.folder import Child, Folder, Record
from ws101.lab.nginx import until
from ws101.lab.seeing import Client

QUICK = ("--port", "0", "--without", "node", "--without", "go")
REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "commands.md"


@contextmanager
def up(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """``lab up`` in the foreground, standing."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ws101", "lab", "up", *QUICK, "--dir", str(folder), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or is_ready(folder, process.pid), "lab", 30)
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def is_ready(folder: Path, keeper: int) -> bool:
    record = Folder(folder).read()
    return record is not None and record.ready and record.keeper.pid == keeper


def record_of(folder: Path) -> Record:
    record = Folder(folder).read()
    assert record is not None
    return record


def client_of(folder: Path) -> Client:
    return Client(record_of(folder).port, folder / "nginx" / "tls" / "site.pem")


# coming and going


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_stays_until_it_is_told_to_go_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "lab"
    with up(folder) as process:
        record = record_of(folder)
        assert client_of(folder).look("/ws").text == "HTTP/1.1 101 Switching Protocols"
        assert len(record.children) == 5
        assert all(child.runs for child in record.children)
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
        process.send_signal(number)
        rest, err = process.communicate(timeout=20)
        out = "".join(lines) + rest
    assert (process.returncode, err) == (0, "")
    assert f"page       https://localhost:{record.port}/" in out
    assert "left out   node  (it was not wanted)" in out
    assert out.endswith(f"stopped; {folder} is removed\n")
    assert not folder.exists()
    assert not any(child.runs for child in record.children)


@pytest.mark.parametrize("moment", ["the lock", "the record", "the hub", "a backend", "nginx", "all"])
def test_told_to_go_while_it_starts_it_leaves_nothing(tmp_path: Path, moment: str) -> None:
    folder = tmp_path / "lab"
    seen: list[Child] = []

    def come() -> bool:
        record = Folder(folder).read()
        seen[:] = record.children if record is not None else seen
        return {
            "the lock": folder.exists(),
            "the record": record is not None,
            "the hub": record is not None and record.hub is not None,
            "a backend": record is not None and bool(record.chat),
            "nginx": (folder / "nginx" / "nginx.pid").exists(),
            "all": record is not None and record.ready,
        }[moment]

    process = subprocess.Popen(
        [sys.executable, "-m", "ws101", "lab", "up", *QUICK, "--dir", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    try:
        until(come, moment, 30)
        for _ in range(3):  # nobody waits patiently
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.endswith(f"stopped; {folder} is removed\n")
    assert not folder.exists()
    until(lambda: not any(child.runs for child in seen), "end of the children")
    assert not [master for master in masters() if str(folder) in master.title]


def test_with_nohup_it_outlives_its_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with up(folder) as process:
            process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.5)
            assert client_of(folder).look("/ws").works
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not folder.exists()


def test_everything_listens_on_loopback_alone(tmp_path: Path) -> None:
    with up(tmp_path / "lab"):
        record = record_of(tmp_path / "lab")
        listening = listeners()
        for port in (record.port, *(child.port for child in record.chat)):
            assert {address for address, found in listening if found == port} == {"0100007F"}, port
        assert (tmp_path / "lab").stat().st_mode & 0o777 == 0o700


def listeners() -> list[tuple[str, int]]:
    """Address and port of every listening TCP socket, from /proc/net (proc(5))."""
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                address, _, port = fields[1].partition(":")
                found.append((address, int(port, 16)))
    return found


def test_a_second_one_says_that_it_is_already_up_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    with up(folder):
        before = record_of(folder)
        done = ws101("lab", "up", *QUICK, "--dir", str(folder))
        assert done.code == 2
        assert f"error: the lab is already up: https://localhost:{before.port}/" in done.err
        assert "help: ws101 lab down stops it" in done.err
        assert record_of(folder) == before
        assert client_of(folder).look("/ws").works


def test_detached_it_returns_when_it_stands_and_down_ends_it(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    done = ws101("lab", "up", *QUICK, "--detach", "--dir", str(folder))
    try:
        assert (done.code, done.err) == (0, "")
        assert "now        HTTP/1.1 101 Switching Protocols" in done.out
        record = record_of(folder)
        status = ws101("lab", "status", "--dir", str(folder))
        assert (status.code, status.err) == (0, "")
        assert f"wss://localhost:{record.port}/ws" in status.out
    finally:
        down = ws101("lab", "down", "--dir", str(folder))
    assert (down.code, down.out) == (0, f"the lab is stopped, and {folder} is removed\n")
    assert not folder.exists()
    assert not any(child.runs for child in record.children)
    assert ws101("lab", "status", "--dir", str(folder)).out == "the lab is not up\n"


def test_detached_a_failure_is_told_as_in_the_foreground(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        runs = [ws101("lab", "up", "--port", str(port), "--dir", str(tmp_path / "lab"), *more)
                for more in ((), ("--detach",))]  # fmt: skip
    for done in runs:
        assert (done.code, done.out) == (2, "")
        assert f"error: port {port} cannot be used: another program listens there" in done.err
        assert "help: take another: --port 9443, or --port 0 for any that is free" in done.err
    assert not (tmp_path / "lab").exists()


# being killed


@pytest.mark.parametrize("after", ["up", "down"])
def test_what_a_killed_one_leaves_is_tidied_up(tmp_path: Path, after: str) -> None:
    folder = tmp_path / "lab"
    with up(folder) as process:
        record = record_of(folder)
        process.kill()
        process.wait()
    assert folder.exists()
    assert ws101("lab", "status", "--dir", str(folder)).out == "the lab is not up\n"
    if after == "up":
        with up(folder):
            assert client_of(folder).look("/ws").works
    else:
        assert ws101("lab", "down", "--dir", str(folder)).code == 0
    assert not any(child.runs for child in record.children)
    assert not folder.exists()
    assert not [master for master in masters() if str(folder) in master.title]


def test_what_still_runs_of_a_killed_one_is_ended_and_named(tmp_path: Path) -> None:
    """As where the kernel does not end the children of a process that was killed."""
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / ".ws101-lab").touch()
    with stray() as mine, stray() as other:
        gone = Child("lab", mine.pid, 1.0)
        record = Record(gone, nginx=Child.of("nginx", mine.pid), hub=Child("hub", other.pid, 1.0))
        (folder / "lab.json").write_text(json.dumps(asdict(record)))
        done = ws101("lab", "down", "--dir", str(folder))
        assert (done.code, done.out) == (0, "the lab was killed before; ended what it left: nginx\n")
        assert mine.wait(5) == -signal.SIGTERM
        assert other.poll() is None, "a process that began at another time is another process"
    assert not folder.exists()


@contextmanager
def stray() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"keeper": null}', b'{"keeper": {"name": 1}}', b"\xff"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, record: bytes) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / ".ws101-lab").touch()
    (folder / "lab.json").write_bytes(record)
    assert Folder(folder).read() is None
    assert ws101("lab", "down", "--dir", str(folder)).code == 0
    assert not folder.exists()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    done = ws101("lab", "up", *QUICK, "--dir", str(tmp_path))
    assert done.code == 2
    assert "error: this folder holds something else" in done.err
    assert ws101("lab", "down", "--dir", str(tmp_path)).out == "the lab is not up\n"
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / ".ws101-lab").touch()
    os.chown(folder, 12345, 12345)
    done = ws101("lab", "up", *QUICK, "--dir", str(folder))
    assert done.code == 2
    assert "error: this folder belongs to another user" in done.err
    assert ws101("lab", "down", "--dir", str(folder)).out == "the lab is not up\n"
    assert folder.exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = ws101("lab", "up", *QUICK, "--dir", str(tmp_path / "file" / "lab"))
    assert done.code == 2
    assert "error: the lab's folder cannot be made: Not a directory" in done.err


# without one


@pytest.mark.parametrize("words", [("break", "read-timeout"), ("fix",), ("reset",)])
def test_what_needs_a_deployment_says_that_there_is_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = ws101("lab", *words, "--dir", str(tmp_path / "lab"))
    assert (done.code, done.out) == (2, "")
    assert "error: the lab is not up" in done.err
    assert "help: in another terminal: ws101 lab up" in done.err
    assert not (tmp_path / "lab").exists()


def test_down_without_one_is_no_error(tmp_path: Path) -> None:
    done = ws101("lab", "down", "--dir", str(tmp_path / "lab"))
    assert (done.code, done.out, done.err) == (0, "the lab is not up\n", "")


def test_the_list_names_every_fault_with_a_line(tmp_path: Path) -> None:
    done = ws101("lab", "list", "--dir", str(tmp_path / "lab"))
    assert (done.code, done.err) == (0, "")
    assert all(re.search(rf"(?m)^  {fault.name} +{re.escape(fault.summary)}$", done.out) for fault in FAULTS)
    assert f"{len(FAULTS)} faults." in done.out


def test_without_a_subcommand_the_help_is_shown() -> None:
    done = ws101("lab")
    assert (done.code, done.err) == (0, "")
    assert "put a fault into it, and see what users see" in done.out


def test_an_nginx_that_is_none_is_told(tmp_path: Path) -> None:
    done = ws101("lab", "up", *QUICK, "--nginx", "/bin/true", "--dir", str(tmp_path / "lab"))
    assert done.code == 2
    assert "error: this program is not nginx" in done.err
    assert not (tmp_path / "lab").exists()


def test_faults_are_completed_by_the_shell() -> None:
    (argument,) = (p for p in lab.commands["break"].params if isinstance(p, click.Argument))
    found = argument.shell_complete(click.Context(lab.commands["break"]), "missing-u")
    assert [item.value for item in found] == ["missing-upgrade-header"]


@pytest.mark.parametrize("name", lab.list_commands(click.Context(lab)))
def test_every_subcommand_and_each_of_its_options_is_documented(name: str) -> None:
    section = REFERENCE.read_text(encoding="utf-8").split("## ws101 lab\n")[1].split("\n## ")[0]
    found = lab.get_command(click.Context(lab), name)
    assert found is not None
    assert f"`ws101 lab {name}" in section
    options = {max(p.opts, key=len) for p in found.params if isinstance(p, click.Option)}
    assert {option for option in options if f"`{option}" not in section} == set()


def test_it_is_offered_with_the_commands_to_learn_with() -> None:
    assert "lab" in command_line.list_commands(click.Context(command_line))


def test_the_default_folder_is_that_of_the_users_state(tmp_path: Path) -> None:
    done = ws101("lab", "fix", XDG_STATE_HOME=str(tmp_path))
    assert f"--> {tmp_path}/ws101/lab" in done.err
