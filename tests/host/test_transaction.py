"""A change of a running nginx is proven and kept, or everything is as it was; on a real nginx."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.faults.site import Edits, Measured, Site, Told, running
from ws101.host import transaction
from ws101.host.binary import NginxBinary, find_nginx
from ws101.host.journal import lock
from ws101.host.outcome import Applied, NotStarted, RolledBack
from ws101.host.process import master_of
from ws101.host.recovery import history
from ws101.host.target import Target
from ws101.host.transaction import Interrupted, find_order, undo
from ws101.lab.nginx import until
from ws101.lab.ports import free_ports

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The nginx at hand."""
    binary = find_nginx()
    assert binary is not None
    with running(binary, tmp_path / "state") as found:
        yield found


@pytest.fixture
def each_site(binary: NginxBinary, tmp_path: Path) -> Iterator[Site]:
    """Every build in turn, for what nginx itself does."""
    with running(binary, tmp_path / "state") as found:
        yield found


def unchanged(site: Site, before: dict[str, bytes]) -> None:
    assert site.contents() == before
    assert site.answer() == "old"
    assert site.nginx.test()[0]


def test_a_good_change_is_written_in_order_loaded_and_proven(each_site: Site) -> None:
    outcome = each_site.run(each_site.good)
    assert isinstance(outcome, Applied), outcome
    assert outcome.proven
    assert outcome.reason == "it answers new"
    assert each_site.answer() == "new"
    assert not [name for name in each_site.contents() if "ws101" in name]
    writes = [step.detail for step in outcome.steps if step.name == "write"]
    assert writes == [each_site.path("conf.d/map.conf"), each_site.path("sites/site.conf")]
    names = [step.name for step in outcome.steps]
    assert names[:7] == ["begin", "snapshot", "test", "order", "prepare", "before", "verify"]
    assert names[-2:] == ["reload", "after"]


def test_a_change_the_proof_refuses_is_rolled_back_to_the_very_files(each_site: Site) -> None:
    before, inode = each_site.contents(), os.stat(each_site.path("sites/site.conf")).st_ino  # noqa: PTH116
    outcome = each_site.run(each_site.good, Measured(each_site, wanted="something better"))
    assert isinstance(outcome, RolledBack), outcome
    assert outcome.reason == "it answers new"
    assert outcome.restored, outcome.trouble
    assert os.stat(each_site.path("sites/site.conf")).st_ino == inode  # noqa: PTH116
    unchanged(each_site, before)


def test_a_proof_that_breaks_is_a_refusal(site: Site) -> None:
    before = site.contents()
    outcome = site.run(site.good, Measured(site, then=lambda: 1 / 0))
    assert isinstance(outcome, RolledBack), outcome
    assert "ZeroDivisionError" in outcome.reason
    assert outcome.restored
    unchanged(site, before)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("return 200 $nowhere", 'unknown "nowhere" variable'),
        ("no_such_directive", 'unknown directive "no_such_directive" in DIR/sites/site.conf:3'),
    ],
)
def test_what_nginx_refuses_is_never_written(each_site: Site, wrong: str, said: str) -> None:
    before = each_site.contents()
    outcome = each_site.run(each_site.change("sites/site.conf", "return 200 old", wrong))
    assert isinstance(outcome, NotStarted), outcome
    assert outcome.reason == f"nginx refuses the changed configuration: {said}".replace("DIR", str(each_site.nginx.dir))
    unchanged(each_site, before)
    assert history(each_site.state) == ()


def test_nothing_is_written_if_the_proof_says_so_beforehand(site: Site) -> None:
    before = site.contents()
    outcome = site.run(site.good, Told(go=False))
    assert isinstance(outcome, NotStarted), outcome
    assert outcome.reason == "told so"
    unchanged(site, before)


def test_the_tests_leave_the_pid_file_alone(each_site: Site) -> None:
    before = each_site.read("nginx.pid")
    assert isinstance(each_site.run(each_site.good), Applied)
    assert each_site.read("nginx.pid") == before


@pytest.mark.parametrize("name", ["sites/site.conf", "conf.d/log.conf"])
def test_a_file_changed_by_someone_else_meanwhile_stops_it(site: Site, name: str) -> None:
    edits = site.good
    theirs = site.read(name) + b"# somebody else\n"
    outcome = site.run(edits, Told(first=lambda: site.nginx.rewrite(name, theirs)))
    assert isinstance(outcome, NotStarted), outcome
    assert "someone else" in outcome.reason
    assert site.read(name) == theirs
    assert not [left for left in site.contents() if "ws101" in left]


def test_a_file_that_appears_meanwhile_stops_it(site: Site) -> None:
    outcome = site.run(site.good, Told(first=lambda: site.nginx.rewrite("conf.d/zz.conf", "# new\n")))
    assert isinstance(outcome, NotStarted), outcome
    assert outcome.where.endswith("conf.d/zz.conf")


def test_a_file_that_is_not_what_the_caller_read_stops_it(site: Site) -> None:
    edits: Edits = {
        path: (b"x" + old if isinstance(old, bytes) else None, new) for path, (old, new) in site.good.items()
    }
    assert isinstance(site.run(edits), NotStarted)
    stale = site.run(site.good, loaded={site.path("conf.d/log.conf"): "0" * 64})
    assert isinstance(stale, NotStarted)
    assert stale.where == site.path("conf.d/log.conf")


def test_an_edit_between_writing_and_rolling_back_is_kept(site: Site) -> None:
    theirs = b"# an editor saved this\n"
    edits = site.change("conf.d/log.conf", "off", "on") | site.change("sites/site.conf", "200 old", "200 new")
    proof = Measured(site, wanted="x", then=lambda: site.nginx.rewrite("conf.d/log.conf", theirs))
    outcome = site.run(edits, proof)
    assert isinstance(outcome, RolledBack), outcome
    assert not outcome.restored
    assert "log.conf: changed by someone else" in outcome.trouble
    assert site.read("conf.d/log.conf") == theirs
    assert site.answer() == "old"


def test_where_putting_back_the_rest_would_break_nginx_nothing_is_put_back(site: Site) -> None:
    edits = site.good
    theirs = edits[site.path("sites/site.conf")][1] + b"# somebody else\n"  # type: ignore[operator]
    proof = Measured(site, wanted="x", then=lambda: site.nginx.rewrite("sites/site.conf", theirs))
    outcome = site.run(edits, proof)
    assert isinstance(outcome, RolledBack), outcome
    assert "nothing was put back" in outcome.trouble
    assert site.read("sites/site.conf") == theirs
    assert site.nginx.test()[0]
    assert site.answer() == "new"


def test_where_no_order_keeps_nginx_able_to_start_it_says_so_first(site: Site) -> None:
    assert isinstance(site.run(site.good), Applied)
    before = site.contents()
    renamed = site.change("conf.d/map.conf", "$answer", "$other") | site.change("sites/site.conf", "$answer", "$other")
    outcome = site.run(renamed, Told())
    assert isinstance(outcome, NotStarted), outcome
    assert "one after the other" in outcome.reason
    assert site.contents() == before
    assert isinstance(site.run(renamed, Told(), accept_gap=True), Applied)


def test_an_old_file_that_nginx_refuses_serves_on_until_the_new_one_is_loaded(site: Site) -> None:
    site.nginx.rewrite("conf.d/log.conf", "broken on purpose;\n")
    mended = site.change("conf.d/log.conf", "broken on purpose", "log_not_found off") | site.change(
        "sites/site.conf", "200 old", "200 new"
    )
    outcome = site.run(mended)
    assert isinstance(outcome, Applied), outcome
    assert any("refused" in step.detail and "broken" in step.detail for step in outcome.steps if step.name == "test")
    assert site.answer() == "new"


def test_rolling_back_to_a_refused_file_says_what_runs_now(site: Site) -> None:
    site.nginx.rewrite("conf.d/log.conf", "broken on purpose;\n")
    mended = site.change("conf.d/log.conf", "broken on purpose", "log_not_found off")
    outcome = site.run(mended, Told(keep=False))
    assert isinstance(outcome, RolledBack), outcome
    assert site.read("conf.d/log.conf") == b"broken on purpose;\n"
    assert "refuses the old files" in outcome.trouble
    assert site.answer() == "old"


def test_a_reload_that_nginx_refuses_is_noticed_and_undone(each_site: Site) -> None:
    before = each_site.contents()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"listen 127.0.0.1:{taken.getsockname()[1]};\n    location"
        outcome = each_site.run(each_site.change("sites/site.conf", "location", listen))
    assert isinstance(outcome, RolledBack), outcome
    assert "bind() to" in outcome.reason
    assert outcome.restored, outcome.trouble
    assert "reload back" not in [step.name for step in outcome.steps]
    unchanged(each_site, before)


def test_without_the_right_to_reload_nothing_is_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = site.contents()
    monkeypatch.setattr(transaction, "may_signal", lambda _: False)
    outcome = site.run(site.good)
    assert isinstance(outcome, NotStarted), outcome
    assert "no permission to reload the nginx master" in outcome.reason
    assert "sudo" in outcome.help
    unchanged(site, before)


def test_if_nginx_dies_meanwhile_the_files_are_put_back_and_that_is_said(site: Site) -> None:
    before = {name: data for name, data in site.contents().items() if name != "nginx.pid"}

    def fault(step: str) -> None:
        if step == "reload":
            os.kill(site.nginx.pid, signal.SIGTERM)
            until(lambda: master_of(site.target.master.pid) is None, "end")  # type: ignore[union-attr]

    outcome = site.run(site.good, Told(), fault=fault)
    assert isinstance(outcome, RolledBack), outcome
    assert not outcome.restored
    assert "is gone" in outcome.reason
    assert "nginx was not reloaded" in outcome.trouble
    assert site.contents() == before


def test_a_configuration_whose_workers_die_is_not_kept(site: Site) -> None:
    before = site.contents()
    line = "2026/11/23 22:00:00 [alert] {}#0: worker process 7 exited on signal 11\n"

    def fault(step: str) -> None:
        if step == "after":
            with site.nginx.dir.joinpath("error.log").open("a") as log:
                log.write(line.format(site.nginx.pid))

    outcome = site.run(site.good, fault=fault)
    assert isinstance(outcome, RolledBack), outcome
    assert outcome.reason == "the error log says: worker process 7 exited on signal 11"
    assert outcome.restored, outcome.trouble
    unchanged(site, before)


def test_an_open_connection_survives(binary: NginxBinary, tmp_path: Path) -> None:
    go_on = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as backend:
        server = threading.Thread(target=slow_backend, args=(backend, go_on))
        server.start()
        (slow,) = free_ports(1)
        upstream = f"http://127.0.0.1:{backend.getsockname()[1]}"
        block = f"server {{ listen 127.0.0.1:{slow}; location / {{ proxy_pass {upstream}; proxy_buffering off; }} }}"
        with running(binary, tmp_path / "state", block) as site, connected(slow) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(client, b"first half")
            outcome = site.run(site.good)
            assert isinstance(outcome, Applied), outcome
            assert any("keep their connections" in step.detail for step in outcome.steps)
            go_on.set()
            read_until(client, b"second half")
        server.join()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def read_until(client: socket.socket, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        part = client.recv(4096)
        assert part, f"the connection was cut after {seen!r}"
        seen += part


def slow_backend(listening: socket.socket, go_on: threading.Event) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\nfirst half")
        go_on.wait(10)
        connection.sendall(b"second half")


def test_a_site_behind_a_symlink_is_written_through(site: Site) -> None:
    sites = site.nginx.dir / "sites"
    available = site.nginx.dir / "available"
    available.mkdir(exist_ok=True)
    (sites / "site.conf").rename(available / "site")
    (sites / "site.conf").symlink_to("../available/site")
    outcome = site.run(site.good)
    assert isinstance(outcome, Applied), outcome
    assert (sites / "site.conf").is_symlink()
    assert b"$answer" in (available / "site").read_bytes()


def test_two_names_of_one_file_are_refused(site: Site) -> None:
    (site.nginx.dir / "sites" / "again.txt").symlink_to("site.conf")
    twice = site.change("sites/site.conf", "old", "new") | site.change("sites/again.txt", "old", "newer")
    before = site.contents()
    outcome = site.run(twice)
    assert isinstance(outcome, NotStarted), outcome
    assert "same file" in outcome.reason
    unchanged(site, before)


@needs_root
def test_a_bind_mounted_file_is_changed_and_put_back_in_place(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "mounted.conf"
    source.write_bytes(site.read("sites/site.conf"))
    subprocess.run(["mount", "--bind", str(source), site.path("sites/site.conf")], check=True)
    try:
        refused = site.run(site.good, Told(keep=False))
        assert isinstance(refused, RolledBack), refused
        assert refused.restored
        assert site.answer() == "old"
        outcome = site.run(site.good)
        assert isinstance(outcome, Applied), outcome
        assert any("in place" in step.detail for step in outcome.steps)
        assert b"$answer" in source.read_bytes()
    finally:
        subprocess.run(["umount", site.path("sites/site.conf")], check=True)


@needs_root
@pytest.mark.parametrize("where", ["configuration", "state"])
def test_a_full_disk_stops_it_before_anything_is_written(site: Site, tmp_path: Path, where: str) -> None:
    small = site.nginx.dir / "conf.d" if where == "configuration" else tmp_path / "small"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "ws101-test", str(small)], check=True)
    try:
        site.nginx.rewrite("conf.d/log.conf", "log_not_found off;\n")
        with contextlib.suppress(OSError):
            (small / "filler").write_bytes(b"x" * 100_000)
        before = site.contents()
        outcome = site.run(site.good, state=small / "state" if where == "state" else site.state)
        assert isinstance(outcome, NotStarted), outcome
        assert re.search(r"full|No space left", outcome.reason)
        unchanged(site, before)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_another_run_at_the_same_time_is_refused(site: Site, tmp_path: Path) -> None:
    before = site.contents()
    with lock(site.state):
        outcome = site.run(site.good, wait=0.1)
    assert isinstance(outcome, NotStarted), outcome
    assert f"another run is changing this configuration (process {os.getpid()})" in outcome.reason
    with lock(tmp_path / "another-state", str(site.nginx.dir)):
        outcome = site.run(site.good, wait=0.1)
    assert isinstance(outcome, NotStarted), outcome
    unchanged(site, before)


def test_the_last_change_can_be_taken_back(each_site: Site) -> None:
    before = each_site.contents()
    first = each_site.run(each_site.good, title="map form")
    assert isinstance(first, Applied)
    outcome = undo(each_site.state, proof=Measured(each_site, wanted="old"))
    assert isinstance(outcome, Applied), outcome
    unchanged(each_site, before)
    told = history(each_site.state)
    assert [(change.state, change.title) for change in told] == [
        ("undone", "map form"),
        ("applied", f"undo {first.id}"),
    ]
    assert told[0].proof == "it answers new"
    nothing = undo(each_site.state)
    assert isinstance(nothing, NotStarted)
    assert "no applied change" in nothing.reason


def test_a_removed_file_comes_back_with_its_own_rights(site: Site) -> None:
    path = site.nginx.dir / "conf.d/log.conf"
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 0, 1234)
    was = path.stat()
    assert isinstance(site.run({str(path): (path.read_bytes(), None)}, Told()), Applied)
    assert not path.exists()
    assert isinstance(undo(site.state), Applied)
    now = path.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (was.st_mode, was.st_uid, was.st_gid)


def test_a_change_is_not_taken_back_over_a_later_edit(site: Site) -> None:
    assert isinstance(site.run(site.good), Applied)
    theirs = site.read("sites/site.conf") + b"# later\n"
    site.nginx.rewrite("sites/site.conf", theirs)
    outcome = undo(site.state)
    assert isinstance(outcome, NotStarted), outcome
    assert "someone else" in outcome.reason
    assert site.read("sites/site.conf") == theirs


@pytest.mark.parametrize("step", ["write", "swapped", "write done", "reload", "reload done", "after"])
def test_a_signal_in_the_middle_puts_everything_back(site: Site, step: str) -> None:
    before = site.contents()

    def fault(reached: str) -> None:
        if reached == step and not sent:
            sent.append(step)
            os.kill(os.getpid(), signal.SIGTERM)

    sent: list[str] = []
    outcome = site.run(site.good, fault=fault)
    assert sent == [step]
    assert isinstance(outcome, RolledBack), outcome
    assert outcome.reason == "interrupted by SIGTERM"
    assert outcome.restored, outcome.trouble
    unchanged(site, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_before_writing_ends_it_with_nothing_changed(site: Site) -> None:
    before = site.contents()

    def fault(reached: str) -> None:
        if reached == "before":
            os.kill(os.getpid(), signal.SIGHUP)

    with pytest.raises(Interrupted, match="SIGHUP"):
        site.run(site.good, fault=fault)
    unchanged(site, before)


def test_without_a_running_nginx_it_is_tested_and_written_and_called_unproven(site: Site) -> None:
    edits, target = site.good, replace(site.target, master=None)
    outcome = site.run(edits, Told(keep=False), target=target)
    assert isinstance(outcome, Applied), outcome
    assert not outcome.proven
    assert "not proven" in outcome.reason
    assert b"$answer" in site.read("sites/site.conf")
    assert site.answer() == "old"


def test_own_commands_test_and_reload(site: Site) -> None:
    nginx, log = site.nginx, site.path("commands.log")
    base = [*nginx.command]
    test = (
        "sh",
        "-c",
        f'echo test >> "{log}"; shift 0; exec "$@"',
        "x",
        base[0],
        "-t",
        "-p",
        f"{nginx.dir}/",
        "-c",
        "{conf}",
    )
    reload = ("sh", "-c", f'echo reload >> "{log}"; exec "$@"', "x", *base, "-s", "reload")
    target = replace(site.target, test_command=test, reload_command=reload)
    outcome = site.run(site.good, target=target)
    assert isinstance(outcome, Applied), outcome
    assert site.answer() == "new"
    said = Path(log).read_text().split()
    assert "test" in said
    assert said.count("reload") == 1


def test_a_test_command_without_a_place_for_the_file_runs_after_writing(site: Site) -> None:
    before = site.contents()
    command = (*site.nginx.command, "-t")
    target = replace(site.target, test_command=command)
    outcome = site.run(site.change("sites/site.conf", "200 old", "200 $nowhere"), target=target)
    assert isinstance(outcome, RolledBack), outcome
    assert "nowhere" in outcome.reason
    assert outcome.restored, outcome.trouble
    unchanged(site, before)
    assert isinstance(site.run(site.good, target=target), Applied)


def test_names_of_another_machine_are_tested_where_they_lie(site: Site) -> None:
    """As with a container: nginx knows /srv/conf, the files lie here."""
    nowhere = "/srv/ws101-test-conf"
    here = str(site.nginx.dir)
    translate = f'sed "s#{nowhere}#{here}#g" "{here}/$(basename "$1")" > "{here}/.t.conf"'
    script = f'{translate}; exec "$2" -t -q -p "{here}/" -c "{here}/.t.conf"'
    target = Target(
        f"{nowhere}/nginx.conf",
        master=site.target.master,
        test_command=("sh", "-c", script, "x", "{conf}", site.nginx.binary.path),
        roots=((nowhere, here),),
    )
    edits = {path.replace(here, nowhere): edit for path, edit in site.good.items()}
    outcome = site.run(edits, target=target)
    assert isinstance(outcome, Applied), outcome
    assert site.answer() == "new"


def test_nothing_to_change_is_said(site: Site) -> None:
    same = site.read("nginx.conf")
    outcome = site.run({site.path("nginx.conf"): (same, same)})
    assert isinstance(outcome, NotStarted)
    assert "nothing to change" in outcome.reason


@given(st.integers(0, 5), st.data())
def test_an_order_passes_only_through_accepted_states(count: int, data: st.DataObject) -> None:
    everything = [frozenset(i for i in range(count) if mask >> i & 1) for mask in range(2**count)]
    accepted = set(data.draw(st.lists(st.sampled_from(everything)))) | {everything[0], everything[-1]}
    order = find_order(count, accepted.__contains__)
    reachable = {everything[0]}
    for state in sorted(everything, key=len):
        if state in accepted and any(state - {i} in reachable for i in state):
            reachable.add(state)
    assert (order is not None) == (everything[-1] in reachable)
    if order is not None:
        assert sorted(order) == [*range(count)]
        assert all(frozenset(order[:n]) in accepted for n in range(count + 1))


def test_the_search_for_an_order_ends() -> None:
    asked: list[frozenset[int]] = []

    def no(state: frozenset[int]) -> bool:
        asked.append(state)
        return len(state) < 6

    assert find_order(12, no, limit=50) is None
    assert len(asked) == 50
