"""The reference deployment for people: keeping it up, showing what is broken, letting the doctor at it."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import click

from ws101.cli.console import Console
from ws101.cli.ending import Ending
from ws101.errors import NetworkError, NginxError
from ws101.host.binary import read_binary
from ws101.host.process import compiled, master_of
from ws101.host.target import Target
from ws101.lab.faults import FAULTS, Fault, broken_files, faults_for
from ws101.lab.folder import Child, Folder, Record, default_folder
from ws101.lab.ports import LOOPBACK
from ws101.lab.reference import Reference, Wishes, plan_of
from ws101.lab.seeing import Client
from ws101.lab.site import HOST, SITE, site_files
from ws101.report.diff import paint_diff
from ws101.report.style import Style
from ws101.text import printable

__all__ = ["client_of", "keep", "overview", "repair", "show_broken", "show_faults", "start_detached"]

_MENDING = {"fix": "fix", "unsafe": "fix --unsafe", "select": "fix --unsafe --select NAME", "advice": "fix"}
"""What is typed behind ``ws101 lab`` to have a fault repaired, or explained."""

_TICK = 0.5
_DETACHED_TIMEOUT = 240.0


def client_of(folder: Folder, record: Record) -> Client:
    """A client of a deployment."""
    return Client(record.port, folder.nginx / "tls" / "site.pem")


def keep(folder: Folder, wishes: Wishes, console: Console) -> int:
    """Start the deployment and keep it running until a signal comes; the exit code."""
    progress = Console.of(sys.stderr)
    with Ending(raising=False) as ending:
        with (
            suppress(KeyboardInterrupt),
            Reference(folder, wishes, lambda step: _say(progress, step), ending.check) as lab,
        ):
            overview(folder, lab.record, console)
            console.write(_next_steps(folder, lab.record, console.style))
            _stand(lab, ending, console)
        console.write(f"stopped; {folder.path} is removed")
    return 0


def _stand(lab: Reference, ending: Ending, console: Console) -> None:
    """Until a signal comes, start again what has ended."""
    while not ending.wait(_TICK):
        try:
            for sentence in lab.mend():
                if ending.asked():  # Ctrl-C ends the children as well
                    return
                console.write(sentence)
        except NginxError:
            if not ending.asked():
                raise


def _say(console: Console, step: str) -> None:
    """A passing line, on a terminal only."""
    if console.stream.isatty():
        console.stream.write(f"\r\x1b[K{step} ...")
        console.stream.write("\r\x1b[K" if step == "starting nginx" else "")
        console.stream.flush()


def start_detached(folder: Folder, wishes: Wishes, console: Console) -> int:
    """Start ``lab up`` as a process of its own, and return when the deployment stands; the exit code."""
    words = ["--port", str(wishes.port), "--heartbeat", f"{wishes.heartbeat:g}", "--dir", str(folder.path)]
    words += ["--nginx", wishes.nginx] if wishes.nginx else []
    words += [word for name in wishes.without for word in ("--without", name)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "ws101", "lab", "up", *words], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + _DETACHED_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            record = folder.read()
            if record is not None and record.ready and record.keeper.pid == process.pid:
                overview(folder, record, console)
                console.write(_next_steps(folder, record, console.style, detached=True))
                process.returncode = 0  # it is meant to outlive us, and subprocess would warn of that
                return 0
            time.sleep(0.05)
        if process.poll() is None:
            process.terminate()
            raise NetworkError("the lab did not come up in time", where=str(folder.path))
        said.seek(0)
        Console.of(sys.stderr).write(said.read().decode("utf-8", "replace").rstrip("\n"))
        return process.returncode


def overview(folder: Folder, record: Record, console: Console) -> None:
    """What runs, where, what was left out, and whether it works."""
    style = console.style
    seen = client_of(folder, record).look("/ws")
    version = plan_of(record).build.number
    polling = f"; {_named(record.polling)} for clients that poll" if record.polling else ""
    stopped = [child.name for child in record.children if not child.runs]
    rows = [
        ("page", f"https://{HOST}:{record.port}/", "its certificate is its own: the browser will warn"),
        ("socket", f"wss://{HOST}:{record.port}/ws", ""),
        ("now", seen.text if seen.works else style.paint("error", printable(seen.text, limit=200)), ""),
        ("nginx", f"{version} ({record.binary})", ""),
        ("backends", _named(record.chat) + polling, "the process ids"),
        ("heartbeat", f"a ping every {record.heartbeat:g} s; who stays silent is dropped", ""),
        *(("left out", name, why) for name, why in record.missing),
        *(("stopped", name, "") for name in stopped),
        *([("fault", folder.fault, "")] if folder.fault else []),
        ("folder", str(folder.path), ""),
    ]
    console.write(style.paint("title", "The lab") + ": a chat and a dashboard behind nginx, on this machine alone.\n")
    for name, what, remark in rows:
        role = "warning" if name in {"left out", "stopped", "fault"} else "dim"
        more = f"  {style.paint('dim', f'({remark})')}" if remark else ""
        console.write(f"  {style.paint(role, name)}{' ' * (11 - len(name))}{what}{more}")


def _named(children: tuple[Child, ...]) -> str:
    return ", ".join(f"{child.name} {child.pid}" for child in children)


def _typed(folder: Folder, words: str) -> str:
    """A subcommand as it is typed for this folder."""
    return f"ws101 lab {words}" + ("" if folder.path == default_folder() else f" --dir {shlex.quote(str(folder.path))}")


def _rows(rows: Iterable[tuple[str, str]], style: Style) -> Iterator[str]:
    """Commands and what they do, in two columns."""
    rows = tuple(rows)
    width = max(len(line) for line, _ in rows) + 3
    return (f"  {style.paint('code', line)}{' ' * (width - len(line))}{what}" for line, what in rows)


def _next_steps(folder: Folder, record: Record, style: Style, *, detached: bool = False) -> str:
    rows = [
        (_typed(folder, "list"), "the faults that it can have"),
        (_typed(folder, "break missing-upgrade-header"), "break it"),
        (f"ws101 wss://{HOST}:{record.port}/ws -k", "why does it fail?"),
        (_typed(folder, "fix"), "let the doctor repair it"),
    ]
    rows += [(_typed(folder, "down"), "stop it")] if detached else []
    lines = _rows(rows, style)
    head = "\nNow:" if detached else "\nIn another terminal:"
    return "\n".join([head, *lines, *([] if detached else ["\nCtrl-C stops it."])])


def show_faults(folder: Folder, console: Console) -> None:
    """The table of faults; where a deployment stands, those that it can have."""
    style = console.style
    record = folder.read() if folder.taken() else None
    faults = faults_for(plan_of(record)) if record is not None and record.ready else FAULTS
    now = folder.fault if record is not None else ""
    width = max(len(fault.name) for fault in faults) + 2
    for mending in _MENDING:
        group = [fault for fault in faults if fault.mending == mending]
        console.write(style.paint("title", _heading(mending)))
        for fault in group:
            mark = style.paint("warning", " (now)") if fault.name == now else ""
            console.write(f"  {style.paint('code', fault.name)}{' ' * (width - len(fault.name))}{fault.summary}{mark}")
        console.write("")
    console.write(f"{len(faults)} faults. ws101 lab break NAME stages one; ws101 rule NAME is its page.")


def _heading(mending: str) -> str:
    return {
        "fix": "Repaired by ws101 lab fix",
        "unsafe": "Repaired by ws101 lab fix --unsafe, since other requests change too",
        "select": "Repaired by ws101 lab fix --unsafe --select NAME, since it may be meant so",
        "advice": "Found and explained; what to do about it is for people to say",
    }[mending]


def show_broken(folder: Folder, record: Record, fault: Fault, refusal: str, console: Console) -> None:
    """What was changed, and what users see of it."""
    style = console.style
    console.write(f"{style.paint('warning', 'broken')}: {fault.name}: {fault.summary}\n")
    for line in paint_diff(_diff(fault, record), style):
        console.write(f"  {line}")
    if fault.unlink:
        console.write("  sites-enabled/chat.conf is removed")
    client = client_of(folder, record)
    console.write("")
    if refusal:
        console.write("nginx refuses to load it, and goes on with what it had; its next start would fail:")
        console.write(f"  {style.paint('error', printable(refusal.replace(f'{folder.nginx}/', ''), limit=300))}")
    else:
        seen = client.look(fault.path, fault.seen)
        role = "good" if seen.works else "error"
        console.write("What a browser says now:" if not fault.seen else "What users see now:")
        console.write(f"  {style.paint(role, printable(seen.text, limit=300))}")
        console.write("  Sockets that are open stay with the old workers: reload the page to see it.")
    url = client.url(fault.path)
    console.write("")
    rows = [(f"ws101 {shlex.quote(url)} -k", "why?"), (f"ws101 rule {fault.name}", "the page of the rule")]
    rows += [
        (_typed(folder, _repair(fault)), _PROMISE[fault.mending == "advice"]),
        (_typed(folder, "reset"), "put the good configuration back"),
    ]
    for line in _rows(rows, style):
        console.write(line)


_PROMISE = ("repair it", "what the doctor says of it")


def _repair(fault: Fault) -> str:
    return _MENDING[fault.mending].replace("NAME", fault.name)


def _diff(fault: Fault, record: Record) -> Iterator[str]:
    """What the fault changed, a unified diff with little around it."""
    plan = plan_of(record)
    good, bad = site_files(plan), broken_files(fault, plan)
    for name in bad:
        old, new = good.get(name, "").splitlines(), bad[name].splitlines()
        yield from difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", lineterm="", n=1)


def repair(
    context: click.Context, folder: Folder, record: Record, *, unsafe: bool, select: tuple[str, ...], console: Console
) -> int:
    """Diagnose, apply the fix, and look again; the exit code: 0 if all is well afterwards."""
    from ws101.cli.diagnose import command as diagnose
    from ws101.cli.fix import command as fix

    style = console.style
    fault = next((fault for fault in FAULTS if fault.name == folder.fault), None)
    path, kind = (fault.path, fault.seen) if fault else ("/ws", "")
    client = client_of(folder, record)
    url, conf = client.url(path), str(folder.nginx / "nginx.conf")
    here = f"{HOST}:{record.port}:{LOOPBACK}"
    with _state(folder):
        context.invoke(diagnose, address=(url,), conf=conf, insecure=True, resolves=(here,), nginx=record.binary)
        console.write("\n" + style.paint("title", "Repair") + "\n")
        fixing = {"unsafe": unsafe, "select": select, "nginx": record.binary}
        context.invoke(fix, path=conf, urls=(url,), applying=True, yes=True, **fixing)
    seen, refusal = client.look(path, kind), refusal_of(folder, record)
    console.write("")
    if seen.works and not refusal:
        folder.fault = ""
        console.write(f"{style.paint('good', style.glyph('tick'))} {url}: {seen.text}")
        undo = f"WS101_STATE={shlex.quote(str(folder.state))} ws101 undo"
        console.write(f"  to take it back here: {undo}; {_typed(folder, 'reset')} puts everything back")
        return 0
    why = f"nginx refuses the configuration: {refusal.replace(f'{folder.nginx}/', '')}" if refusal else seen.text
    console.write(f"{style.paint('error', 'it still fails')}: {printable(why, limit=300)}")
    for line in _advice(folder, fault, unsafe=unsafe, select=select):
        console.write(f"  {style.paint('good', 'help')}: {line}")
    return 1


def refusal_of(folder: Folder, record: Record) -> str:
    """Why nginx would not start with the configuration as it is now, in its words; empty if it would."""
    conf = folder.nginx / "nginx.conf"
    master = master_of(record.nginx.pid) if record.nginx is not None else None
    if master is None:
        return "it has ended"
    return Target.of(master, compiled(read_binary(record.binary).version_text)).accepts(str(conf))


def _advice(folder: Folder, fault: Fault | None, *, unsafe: bool, select: tuple[str, ...]) -> Iterator[str]:
    """What may be tried next."""
    if fault is not None and fault.mending in {"unsafe", "select"} and not (unsafe and select):
        yield f"{_typed(folder, _repair(fault))} applies the fix that changes other requests too"
    elif fault is not None and fault.mending == "advice":
        yield f"no edit can be sure of what you mean: do what the diagnosis says in {SITE}, reload, or"
    yield f"{_typed(folder, 'reset')} puts the good configuration back"


@contextmanager
def _state(folder: Folder) -> Iterator[None]:
    """Changes are remembered in the lab's folder: the user's own history stays as it is."""
    old = os.environ.get("WS101_STATE")
    os.environ["WS101_STATE"] = str(folder.state)
    try:
        yield
    finally:
        if old is None:
            del os.environ["WS101_STATE"]
        else:
            os.environ["WS101_STATE"] = old
