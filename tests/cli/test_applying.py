"""Applying a change made elsewhere, what is said before, taking it back, and what an interruption leaves."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.support import Done, environment, mismatches, ws101
from ws101.cli.copied import Copy
from ws101.errors import InputError
from ws101.host.binary import find_nginx
from ws101.host.files import DiskFiles
from ws101.host.journal import Journal, new_id
from ws101.lab.backends import StoryApp
from ws101.lab.nginx import Nginx, wrap
from ws101.lab.ports import free_ports

SITE = """\
server {{
    listen 127.0.0.1:{port};
    location = /page {{ return 200 "a page"; }}
    location /ws {{
        proxy_pass http://127.0.0.1:{backend};
        proxy_read_timeout 1h;
    }}
}}
"""
GOOD = """\
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
"""
MAP = "map $http_upgrade $connection_upgrade {\n    default upgrade;\n    '' close;\n}\n"


@dataclass
class Running:
    """A running nginx, a copy of its folder, and a state folder."""

    nginx: Nginx
    copy: Path
    state: Path
    port: int

    def apply(self, *more: str) -> Done:
        return self.ws101("apply", str(self.copy), "--to", str(self.nginx.conf_path), *more)

    def ws101(self, *args: str) -> Done:
        return ws101(*args, WS101_STATE=str(self.state))

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.copy / name).read_text()
        assert old in text
        (self.copy / name).write_text(text.replace(old, new))

    def mend(self) -> None:
        self.edit("sites-available/site", "        proxy_read", f"{GOOD}        proxy_read")
        (self.copy / "conf.d/map.conf").write_text(MAP)

    def contents(self) -> dict[str, bytes]:
        found = [path for path in self.nginx.dir.rglob("*") if path.is_file() and path.suffix in ("", ".conf")]
        return {str(path): path.read_bytes() for path in found}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    (port,) = free_ports(1)
    binary = find_nginx()
    assert binary is not None
    with StoryApp() as backend, contextlib.ExitStack() as held:
        folder = tmp_path / "nginx"
        folder.mkdir()
        text = wrap("include conf.d/*.conf; include sites-enabled/*;\n", binary=binary)
        files = {
            "nginx.conf": text,
            "conf.d/log.conf": "log_not_found off;\n",
            "sites-available/site": SITE.format(port=port, backend=backend.port),
        }
        nginx = Nginx(files, binary=binary, directory=folder)
        (folder / "sites-enabled").mkdir()
        (folder / "sites-enabled/site").symlink_to(folder / "sites-available/site")
        copy = tmp_path / "new"
        shutil.copytree(folder, copy, symlinks=True)
        held.enter_context(nginx)
        yield Running(nginx, copy, tmp_path / "state", port)


def test_a_change_made_in_a_copy_is_applied_proven_and_taken_back(running: Running) -> None:
    before = running.contents()
    running.mend()
    done = running.apply("--url", f"ws://127.0.0.1:{running.port}/ws")
    assert done.code == 0, done.err + done.out
    assert "+++ " in done.out
    assert "a WebSocket handshake now arrives" in done.err
    assert "0 connections" in done.err or "no connection is open now" in done.err
    assert "PROVEN" in done.err
    assert (running.nginx.dir / "sites-enabled/site").is_symlink()
    assert b"$connection_upgrade" in (running.nginx.dir / "sites-available/site").read_bytes()
    listed = running.ws101("undo", "--list")
    assert "proof: " in listed.out
    assert "answers 101" in listed.out
    rows = running.ws101("undo", "--list", "--format", "json").json["changes"]
    shape = [{"change": str, "at": float, "title": str, "state": "applied", "proof": str, "files": [str]}]
    assert mismatches(rows, shape) == []
    again = running.apply()
    assert again.code == 0
    assert "nothing to change" in again.err
    undone = running.ws101("undo")
    assert undone.code == 0, undone.out
    assert running.contents() == before


def test_a_websocket_that_worked_and_works_no_longer_is_put_back(running: Running) -> None:
    running.mend()
    assert running.apply().code == 0
    before = running.contents()
    running.edit("sites-available/site", GOOD, "")
    done = running.apply("--format", "json")
    assert done.code == 1
    assert done.json["class"] == "rolled-back"
    assert "its handshake worked, and now" in done.json["applied"]["reason"]
    assert running.contents() == before
    meant = running.apply("--format", "json", "--unproven")
    assert meant.json["class"] == "delivered"


def test_a_backend_that_does_not_answer_is_never_called_proven(running: Running) -> None:
    before = running.contents()
    running.edit("sites-available/site", 'return 200 "a page"', "proxy_pass http://127.0.0.1:1")
    done = running.apply("--format", "json")
    assert done.code == 2
    assert "does not answer" in done.json["applied"]["reason"]
    assert running.contents() == before
    assert running.apply("--format", "json", "--unproven").json["class"] == "unproven"


def test_what_the_change_is_meant_to_change_is_not_called_worse(running: Running) -> None:
    running.edit("sites-available/site", 'return 200 "a page"', "return 404")
    done = running.apply("--format", "json")
    assert done.code == 0, done.out + done.err
    assert done.json["class"] == "proven"
    assert list(done.json) == ["schema", "class", "changed", "applied"]
    assert done.json["schema"] == "ws101/apply/1"


def test_what_nginx_refuses_is_not_written(running: Running) -> None:
    before = running.contents()
    running.edit("sites-available/site", "return 200", "retrun 200")
    done = running.apply("--format", "json")
    assert done.code == 2
    assert done.json["class"] == "not-started"
    assert "retrun" in done.json["applied"]["reason"]
    assert running.contents() == before


def test_where_no_order_is_safe_it_is_said_before_writing_and_can_be_allowed(running: Running) -> None:
    running.mend()
    assert running.apply().code == 0
    for name in ("conf.d/map.conf", "sites-available/site"):
        running.edit(name, "$connection_upgrade", "$another_name")
    before = running.contents()
    done = running.apply()
    assert done.code == 2
    assert "one after the other" in " ".join(done.err.split())
    assert "--accept-gap" in done.err
    assert running.contents() == before
    assert running.apply("--accept-gap").code == 0


def test_a_file_that_the_copy_lacks_is_removed(running: Running) -> None:
    (running.copy / "conf.d/log.conf").unlink()
    done = running.apply("--format", "json")
    assert done.code == 0, done.out + done.err
    assert not (running.nginx.dir / "conf.d/log.conf").exists()


def links(running: Running) -> dict[str, str]:
    return {path.name: str(path.readlink()) for path in (running.nginx.dir / "sites-enabled").iterdir()}


def test_a_site_is_disabled_by_its_symlink_and_enabled_again_by_undo(running: Running) -> None:
    before, linked = running.contents(), links(running)
    (running.copy / "sites-enabled/site").unlink()
    done = running.apply()
    assert done.code == 0, done.out + done.err
    path = running.nginx.dir / "sites-enabled/site"
    assert f"diff --git {path} {path}\ndeleted file mode 120000\n--- {path}\n+++ /dev/null\n@@ -1 +0,0 @@\n" in done.out
    assert "/page answers nothing, before 200, as is meant" in " ".join(done.err.split()), done.err
    assert links(running) == {}
    assert (running.nginx.dir / "sites-available/site").read_bytes() == before[
        str(running.nginx.dir / "sites-available/site")
    ]
    undone = running.ws101("undo")
    assert undone.code == 0, undone.out
    assert running.contents() == before
    assert links(running) == linked


@pytest.mark.parametrize("absolute", [False, True])
def test_a_new_site_is_enabled_by_a_new_symlink_which_stays_one(running: Running, absolute: bool) -> None:
    (port,) = free_ports(1)
    site = f"server {{ listen 127.0.0.1:{port}; location = /new {{ return 200 new; }} }}\n"
    (running.copy / "sites-available/new").write_text(site)
    target = f"{running.nginx.dir}/sites-available/new" if absolute else "../sites-available/new"
    (running.copy / "sites-enabled/new").symlink_to(target)
    before, linked = running.contents(), links(running)
    done = running.apply("--format", "json")
    assert done.code == 0, done.out + done.err
    assert [(row["file"].rpartition("nginx/")[2], row["created"]) for row in done.json["changed"]] == [
        ("sites-enabled/new", True),
        ("sites-available/new", True),
    ]
    assert "new file mode 120000" in done.json["changed"][0]["diff"]
    assert f"ws://127.0.0.1:{port}/new answers 200, before nothing, as is meant" in done.json["applied"]["reason"]
    assert links(running) == linked | {"new": target}
    assert (running.nginx.dir / "sites-available/new").read_text() == site
    with socket.create_connection(("127.0.0.1", port)):
        pass
    assert "nothing to change" in running.apply().err
    assert running.ws101("undo").code == 0
    assert (running.contents(), links(running)) == (before, linked)


def test_a_symlink_that_names_the_copy_itself_leads_to_the_file_in_its_place(running: Running) -> None:
    (running.copy / "sites-available/log").write_text("# nothing\n")
    (running.copy / "sites-enabled/log").symlink_to(running.copy / "sites-available/log")
    assert running.apply().code == 0
    assert links(running)["log"] == str(running.nginx.dir / "sites-available/log")


def test_a_symlink_is_retargeted_and_a_file_is_replaced_by_one(running: Running) -> None:
    (running.copy / "sites-available/other").write_bytes((running.copy / "sites-available/site").read_bytes())
    (running.copy / "sites-enabled/site").unlink()
    (running.copy / "sites-enabled/site").symlink_to("../sites-available/other")
    (running.copy / "conf.d/log.conf").rename(running.copy / "log.conf")
    (running.copy / "conf.d/log.conf").symlink_to("../log.conf")
    before, linked = running.contents(), links(running)
    done = running.apply()
    assert done.code == 0, done.out + done.err
    assert links(running) == {"site": "../sites-available/other"}
    assert str((running.nginx.dir / "conf.d/log.conf").readlink()) == "../log.conf"
    assert running.ws101("undo").code == 0
    assert (running.contents(), links(running)) == (before, linked)
    assert not (running.nginx.dir / "conf.d/log.conf").is_symlink()


def test_a_symlink_that_leads_to_nothing_in_the_copy_is_refused(running: Running) -> None:
    before = running.contents()
    (running.copy / "sites-available/site").unlink()
    done = running.apply()
    assert done.code == 2
    assert "which the copy does not have" in " ".join(done.err.split())
    assert running.contents() == before


def test_a_plain_file_in_the_place_of_a_symlink_changes_what_it_leads_to(running: Running) -> None:
    text = (running.copy / "sites-available/site").read_text().replace("a page", "another page")
    (running.copy / "sites-enabled/site").unlink()
    (running.copy / "sites-enabled/site").write_text(text)
    linked = links(running)
    assert running.apply().code == 0
    assert links(running) == linked
    assert (running.nginx.dir / "sites-available/site").read_text() == text


@pytest.mark.parametrize(("target", "said"), [("/etc/passwd", "leads out"), ("../../../etc/passwd", "leads out")])
def test_a_symlink_that_leads_out_of_the_copy_is_refused_and_not_read(running: Running, target: str, said: str) -> None:
    (running.copy / "conf.d/zz.conf").symlink_to(target)
    done = running.apply()
    assert done.code == 2
    assert said in done.err
    assert "root:" not in done.out + done.err


def test_a_symlink_loop_in_the_copy_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InputError, match="loop"):
        Copy("/etc/nginx", str(tmp_path), DiskFiles()).read("/etc/nginx/a")


def test_a_file_of_the_copy_that_turns_into_a_symlink_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, inside = tmp_path / "secret", tmp_path / "copy/x.conf"
    secret.write_text("secret")
    inside.parent.mkdir()
    inside.symlink_to(secret)
    copy = Copy("/etc/nginx", str(inside.parent), DiskFiles())
    monkeypatch.setattr(Copy, "_next", lambda *_: None)  # it was a file when it was looked at
    with pytest.raises(Exception, match="symlink"):
        copy.read("/etc/nginx/x.conf")


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_that_is_no_copy_is_refused(running: Running, folder: str) -> None:
    done = running.ws101("apply", str(running.copy / "conf.d" / folder), "--to", str(running.nginx.conf_path))
    assert done.code == 2
    assert "has no nginx.conf" in done.err
    itself = running.ws101("apply", str(running.nginx.dir), "--to", str(running.nginx.conf_path))
    assert "is the configuration itself" in itself.err


def test_the_open_connections_and_their_end_are_said_before(running: Running) -> None:
    conf = running.nginx.conf_path
    conf.write_text("worker_shutdown_timeout 10s;\n" + conf.read_text())
    running.nginx.reload()
    running.nginx.wait_reloaded()
    (running.copy / "nginx.conf").write_text(conf.read_text())
    running.mend()
    with socket.create_connection(("127.0.0.1", running.port)) as idle:
        idle.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096)
        done = running.apply()
    said = " ".join(done.err.split())
    assert "1 connections of clients and 0 to backends are open now" in said
    assert "worker_shutdown_timeout 10s cuts those that are still open 10s after the reload" in said


def answer_on_a_terminal(running: Running, keys: bytes) -> tuple[int, str]:
    """Run ``apply`` on a terminal of its own and type something."""
    command = [sys.executable, "-m", "ws101", "apply", str(running.copy), "--to", str(running.nginx.conf_path)]
    ours, theirs = pty.openpty()
    env = environment(WS101_STATE=str(running.state), TERM="dumb")
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):
            while part := os.read(ours, 4096):
                seen += part
                if keys and b"Apply it?" in seen:
                    os.write(ours, keys)
                    keys = b""
        code = process.wait(30)
    os.close(ours)
    return code, seen.decode()


def test_on_a_terminal_it_asks_first(running: Running) -> None:
    before = running.contents()
    running.mend()
    code, said = answer_on_a_terminal(running, b"n\n")
    assert code == 2
    assert said.index("are open now" if "are open now" in said else "no connection") < said.index("Apply it?")
    assert "you said no" in said
    assert running.contents() == before
    code, said = answer_on_a_terminal(running, b"y\n")
    assert code == 0, said
    assert "PROVEN" in said


def interrupted_state(running: Running) -> str:
    """What a change leaves that was killed before it had written anything."""
    journal = Journal.create(running.state, new_id())
    journal.append("begin", title="killed", folders=[])
    return journal.id


def test_every_command_says_that_a_change_was_interrupted(running: Running) -> None:
    change = interrupted_state(running)
    for args in (["check", str(running.nginx.conf_path)], ["rule"], ["undo", "--list"]):
        done = running.ws101(*args)
        assert f"the change {change} was interrupted" in done.err
        assert "undo --recover" in done.err
    done = running.ws101("undo", "--recover")
    assert done.code == 0
    assert (done.err, done.out) == ("", f"{change}  had written nothing: cleaned up\n")
    assert running.ws101("undo", "--recover").out == "no change was interrupted\n"
    assert running.ws101("rule").err == ""


def test_a_killed_change_is_recovered_by_the_command(running: Running) -> None:
    before = running.contents()
    running.mend()
    script = (
        "import os, signal, sys; from ws101.host.transaction import Transaction as T;"
        "old = T.__init__; T.__init__ = lambda self, *a, **k: old(self, *a, fault=lambda s:"
        " os.kill(os.getpid(), signal.SIGKILL) if s == 'reload done' else None, **k);"
        "from ws101.cli import main; main(sys.argv[1:])"
    )
    args = ["apply", str(running.copy), "--to", str(running.nginx.conf_path)]
    env = environment(WS101_STATE=str(running.state))
    killed = subprocess.run([sys.executable, "-c", script, *args], env=env, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert running.contents() != before
    listed = running.ws101("undo", "--list", "--format", "json")
    assert [row["state"] for row in json.loads(listed.out)["changes"]] == ["interrupted"]
    done = running.ws101("undo", "--recover", "--format", "json")
    assert done.code == 0, done.err
    assert done.json["recovered"][0]["action"] == "put back"
    assert running.contents() == before


def test_taking_back_is_proven_by_measuring_and_the_history_says_so(running: Running) -> None:
    url = f"ws://127.0.0.1:{running.port}/ws"
    running.mend()
    assert running.apply("--url", url).code == 0
    done = running.ws101("undo")
    said = " ".join(done.out.split())
    assert done.code == 0, said
    assert "TAKEN BACK" in said
    assert f"{url} answers 400, as before the change" in said
    assert said.index("before 101") < said.index("after 400") < said.index("reload")
    listed = running.ws101("undo", "--list", "--format", "json").json["changes"]
    assert "as before the change" in listed[0]["proof"]
    assert [row["state"] for row in listed] == ["applied", "undone"]


def test_taking_back_what_then_answers_otherwise_says_so_and_keeps_the_old_files(running: Running) -> None:
    before = running.contents()
    running.edit("sites-available/site", 'return 200 "a page"', "return 404")
    assert running.apply().code == 0
    journal = next((running.state / "changes").glob("*/journal.jsonl"))
    journal.write_text(journal.read_text().replace('"plain": 200', '"plain": 204'))
    done = running.ws101("undo", "--format", "json")
    assert (done.code, done.json["class"]) == (1, "undone-otherwise")
    assert "/page answers 200, before the change 200 (a plain request: 204)" in done.json["reason"]
    assert running.contents() == before


def test_taking_back_what_was_never_measured_is_not_called_proven(running: Running) -> None:
    running.edit("sites-available/site", 'return 200 "a page"', "return 404")
    assert running.apply().code == 0
    journal = next((running.state / "changes").glob("*/journal.jsonl"))
    lines = [line for line in journal.read_text().splitlines(keepends=True) if '"measured"' not in line]
    journal.write_text("".join(lines))
    done = running.ws101("undo", "--format", "json")
    assert (done.code, done.json["class"]) == (0, "undone-unmeasured")
    assert "was not written down" in done.json["reason"]


def test_taking_back_over_a_later_edit_is_refused_and_says_where_the_bytes_are(running: Running) -> None:
    running.mend()
    assert running.apply().code == 0
    site = running.nginx.dir / "sites-available/site"
    site.write_text(site.read_text() + "# later\n")
    done = running.ws101("undo")
    assert done.code == 2
    said = " ".join(done.out.split())
    assert "changed by someone else since that change" in said
    assert str(running.state)[-20:] in done.out.replace("\n", "").replace(" ", "")
    assert site.read_text().endswith("# later\n")
