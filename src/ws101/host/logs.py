"""The logs that a configuration names, read around a diagnosis: their tail before it, and what is added while it runs.

Only so much is read as fits a few memory pages of interest; a log that was rotated meanwhile is read from its start,
and one that is too young to tell is continued in the rotated one beside it, gzip-compressed or not.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import posixpath
import stat
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from ws101.host.process import LogMark
from ws101.host.together import largest_together
from ws101.lazy import dataclass
from ws101.logs import COMBINED, AccessEntry, Clue, clues_in, cut_tunnels, read_access
from ws101.nginx.config import Config, Scope, Unknown
from ws101.nginx.directives import parse_time
from ws101.nginx.inherit import effective_all

__all__ = ["Choice", "Log", "Logs", "choose", "formats_of", "named_logs", "read_tail", "shutdown_timeout"]

TAIL = 256 * 1024
"""How much of a log from before the diagnosis is looked at, in bytes."""

FRESH = 1024 * 1024
"""How much of what is added meanwhile, in bytes."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log file.

    Args:
        path: Where it is.
        form: The text of an access log's format; empty for an error log.
        other_forms: Further formats that it may be written in: the one that fits most lines is taken.
        partial: Whether only some lines go there: an access log with ``if=``, an error log beside a more verbose one.
    """

    path: str
    form: str = ""
    other_forms: tuple[str, ...] = ()
    partial: bool = False


def named_logs(config: Config, scope: Scope | None, *, prefix: str = "", default: str = "") -> tuple[Log, ...]:
    """The logs that a scope of a configuration writes to, as far as they are plain files with a fixed name.

    Args:
        config: The configuration.
        scope: The location that answers; None takes the top level.
        prefix: Where relative paths start; empty takes the configuration's folder.
        default: The error log that nginx has without a directive; empty if unknown.
    """
    where, base = scope or config.http or config.main, prefix or config.prefix
    errors = effective_all(where, "error_log")
    given = [placed.args for placed in errors if placed.args] if isinstance(errors, tuple) else []
    most = max(map(_verbosity, given), default=0)
    found = [
        Log(posixpath.join(base, args[0]), partial=_verbosity(args) < most)
        for args in given or [(default,)]
        if _is_file_name(args[0])
    ]
    access = effective_all(where, "access_log")
    for placed in access if isinstance(access, tuple) else ():
        if placed.args and placed.args[0] != "off" and _is_file_name(placed.args[0]):
            form = _format(config, placed.args[1] if len(placed.args) > 1 else "combined")
            partial = any(arg.startswith("if=") for arg in placed.args)
            found.append(Log(posixpath.join(base, placed.args[0]), form, partial=partial))
    return tuple(dict.fromkeys(found))


_LEVELS = ("emerg", "alert", "crit", "error", "warn", "notice", "info", "debug")


def _verbosity(args: Sequence[str]) -> int:
    """How much an error_log takes; without a level it is ``error``."""
    level = args[1] if len(args) > 1 else "error"
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS)


@dataclass(frozen=True, slots=True)
class Choice:
    """Logs of which each line stands in one, as far as the configuration tells.

    Args:
        logs: Those to read.
        copies: Those left out, and the log in which everything stands that is in them.
        overlapping: Pairs of those to read that have lines in common.
    """

    logs: tuple[Log, ...]
    copies: tuple[tuple[str, str], ...] = ()
    overlapping: tuple[tuple[str, str], ...] = ()


def choose(scopes: Iterable[Sequence[Log]]) -> Choice:
    """Choose among the logs that scopes write to: nginx writes a line into every log of the scope that answers.

    A log is left out where each scope that writes to it writes to another one as well; one whose format has
    ``$request_time`` is rather kept.

    Args:
        scopes: The logs of each scope.
    """
    written = [tuple({log.path: log for log in logs}.values()) for logs in scopes]
    kept = {log.path: log for logs in written for log in logs}
    latest_first = [*kept.values()][::-1]
    copies = []
    for log in sorted(latest_first, key=lambda log: (not log.partial, "$request_time" in log.form)):
        others = [_another(log, logs, kept) for logs in written if any(log.path == one.path for one in logs)]
        if others and all(others):
            del kept[log.path]
            copies.append((log.path, others[0]))
    left = [[log for log in logs if log.path in kept] for logs in written]
    pairs = ((a.path, b.path) for logs in left for a, b in combinations(logs, 2) if bool(a.form) is bool(b.form))
    return Choice(tuple(kept.values()), tuple(copies), tuple(dict.fromkeys(pairs)))


def _another(log: Log, logs: Sequence[Log], kept: Mapping[str, Log]) -> str:
    """A log of the same kind that the same scope writes everything to as well; empty if there is none."""
    found = (
        one.path
        for one in logs
        if one.path != log.path and one.path in kept and not one.partial and bool(one.form) is bool(log.form)
    )
    return next(found, "")


def _is_file_name(name: str) -> bool:
    return bool(name) and "$" not in name and not name.startswith(("syslog:", "memory:")) and name != "stderr"


def _format(config: Config, name: str) -> str:
    return formats_of(config).get(name, COMBINED)


def formats_of(config: Config) -> dict[str, str]:
    """The texts of the log formats that a configuration defines, by name."""
    found = {}
    for placed in config.http.all("log_format") if config.http is not None else ():
        if placed.args:
            found[placed.args[0]] = "".join(arg for arg in placed.args[1:] if not arg.startswith("escape="))
    return found


class Logs:
    """Logs around a diagnosis: marked before it, read after it.

    Args:
        choose: Gives the logs, once it is known which scope answers.
        workers: The error logs in which workers say that they go; those that ``choose`` gives are among them.
        shutdown: ``worker_shutdown_timeout`` in seconds; None if it is not set.
    """

    def __init__(
        self,
        choose: Callable[[Scope | None], Iterable[Log]],
        *,
        workers: Iterable[Log] = (),
        shutdown: float | None = None,
    ) -> None:
        self._choose = choose
        self._workers, self._shutdown = tuple(workers), shutdown
        self._marked: list[tuple[Log, LogMark]] = []
        self._unreadable: list[str] = []
        self._left: tuple[str, ...] = ()

    @classmethod
    def of(cls, logs: Iterable[Log], *, shutdown: float | None = None) -> Logs:
        """These logs.

        Args:
            logs: The logs.
            shutdown: ``worker_shutdown_timeout`` in seconds; None if it is not set.
        """
        kept = tuple(logs)
        return cls(lambda _: kept, shutdown=shutdown)

    @classmethod
    def of_configuration(cls, config: Config, *, prefix: str = "", default: str = "") -> Logs:
        """Those that a configuration names: see `named_logs`."""
        workers = named_logs(config, config.main, prefix=prefix, default=default)
        return cls(
            lambda scope: named_logs(config, scope, prefix=prefix, default=default),
            workers=workers,
            shutdown=shutdown_timeout(config),
        )

    @classmethod
    def left(cls, reason: str) -> Logs:
        """None at all, and why."""
        logs = cls(lambda _: ())
        logs._left = (reason,)
        return logs

    def mark(self, scope: Scope | None) -> None:
        """Remember where the logs end now.

        Args:
            scope: The location that will answer; None if unknown.
        """
        self._marked = [(log, LogMark.at_end(log.path)) for log in self._choose(scope)]

    @property
    def access(self) -> tuple[Log, ...]:
        """The access logs that were marked and can be read."""
        return tuple(log for log, _ in self._marked if log.form and self._readable(log.path))

    def doubts(self) -> tuple[Unknown, ...]:
        """What could not be read, or was not."""
        return tuple(Unknown(reason) for reason in dict.fromkeys((*self._left, *self._unreadable)))

    def clues(self, target: str, timeout: float | None) -> tuple[Clue, ...]:
        """What the logs tell: first what was added since, then the tails from before.

        Args:
            target: The request target that is diagnosed.
            timeout: The idle timeout on its path, in seconds; None if unknown.
        """
        fresh: list[Clue] = []
        old: list[Clue] = []
        for log, mark in self._marked:
            if not self._readable(log.path):
                continue
            tail = read_tail(mark.path, mark.size)
            if log.form:
                entries = _entries(log, tail)
                old += _cut(log, entries, target, timeout)
                old += self._together(log, entries)
            else:
                fresh += clues_in(mark.since(FRESH), log.path, target=target)
                old += clues_in(tail, log.path, target=target, fresh=False)
        known = {clue.rule for clue in fresh}
        return (*fresh, *(clue for clue in old if clue.rule not in known))

    def _together(self, log: Log, entries: tuple[AccessEntry, ...]) -> list[Clue]:
        """The tunnels that ended together, and what the error logs say of the workers at that time."""
        paths = {one.path for one, _ in self._marked if not one.form} | {one.path for one in self._workers}
        texts = [read_tail(path, _size(path)) for path in sorted(paths) if self._readable(path)]
        found = largest_together(entries, texts, self._shutdown)
        if found is None:
            return []
        line = f"{len(found.entries)} tunnels of different age ended at {found.entries[0].ended}"
        clue = Clue("reload-drops-connections", "tunnels end together", line, log.path, fresh=False)
        return [replace(clue, certain=found.certain)]

    def _readable(self, path: str) -> bool:
        try:
            found = Path(path).stat()
            if not stat.S_ISREG(found.st_mode):
                return False
            with Path(path).open("rb"):
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            self._unreadable.append(f"what {path} says: it cannot be read ({error.strerror or error})")
            return False


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _entries(log: Log, text: str) -> tuple[AccessEntry, ...]:
    return max((tuple(read_access(text, form)) for form in (log.form, *log.other_forms)), key=len)


def _cut(log: Log, entries: tuple[AccessEntry, ...], target: str, timeout: float | None) -> list[Clue]:
    cut = cut_tunnels(entries, timeout, target) if timeout is not None else ()
    if len(cut) < 2:
        return []
    line = f"{len(cut)} tunnels ended {cut[-1].seconds:g} s after they began, with status 101"
    return [Clue("read-timeout", "tunnels end at the idle timeout", line, log.path, fresh=False)]


def shutdown_timeout(config: Config) -> float | None:
    """``worker_shutdown_timeout`` in seconds; None if it is not set, or is none."""
    placed = config.main.first("worker_shutdown_timeout")
    milliseconds = parse_time(placed.args[0]) if placed is not None and placed.args else None
    return milliseconds / 1000 if milliseconds is not None else None


def read_tail(path: str, end: int, limit: int = TAIL) -> str:
    """The last whole lines of a log before a position, from the rotated log too if this one is short.

    Args:
        path: The log.
        end: Up to where, in bytes.
        limit: How much at most, in bytes.
    """
    text = ""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        file.seek(max(0, end - limit))
        text = file.read(min(limit, end)).decode("latin-1")
    if end < limit:
        return _rotated(path, limit - end) + text
    return text.partition("\n")[2]


def _rotated(path: str, limit: int) -> str:
    """The end of the log that was rotated last."""
    for name in (f"{path}.1", f"{path}-1", f"{path}.1.gz"):
        with contextlib.suppress(OSError, EOFError, zlib.error):
            if not stat.S_ISREG(os.stat(name).st_mode):  # noqa: PTH116 - the name may hold any byte
                continue
            return _gzip_end(name, limit) if name.endswith(".gz") else read_end(name, limit)
    return ""


def read_end(path: str, limit: int) -> str:
    """The last whole lines of a file, at most ``limit`` bytes."""
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - limit))
        text = file.read(limit).decode("latin-1")
    return text if size <= limit else text.partition("\n")[2]


def _gzip_end(path: str, limit: int, most: int = 64 * 1024 * 1024) -> str:
    """The end of a compressed log; a bomb is read to a bound and then left."""
    kept, seen = b"", 0
    with gzip.open(path, "rb") as file:
        while seen < most and (data := file.read(1 << 20)):
            seen += len(data)
            kept = (kept + data)[-limit:]
    return kept.decode("latin-1").partition("\n")[2] if seen > limit else kept.decode("latin-1")
