"""Causes that bite later: a tunnel that is cut when silent, a heartbeat that is missing or too slow, reloads."""

from __future__ import annotations

from ws101.diagnose.base import Facts, RootCause, blame
from ws101.findings import Level
from ws101.logs import Clue
from ws101.nginx.directives import parse_time
from ws101.probes.core import Observation
from ws101.text import Span

__all__ = ["CAUSES", "TOLD", "logged", "pinged_in_time"]

_EARLY, _LATE = 0.35, 1.0
"""How much before and after its figure nginx may cut: NGX_TIMER_LAZY_DELAY, and a busy machine."""


def _timeout(facts: Facts) -> float | None:
    return facts.forwarded.idle_timeout if facts.forwarded else None


def _place(facts: Facts) -> Span | None:
    forwarded = facts.forwarded
    if forwarded is None:
        return None
    return forwarded.idle_origin.span if forwarded.idle_origin else forwarded.handler.span


def _seconds(seen: Observation | None, name: str) -> float | None:
    value = seen.detail(name) if seen is not None else None
    return float(value) if isinstance(value, int | float) else None


def idle_cut(facts: Facts) -> RootCause | None:
    """The silent tunnel was cut without a close frame: nginx's timeout, or another's on the path."""
    seen = facts.results.get("idle")
    silent = _seconds(seen, "silent")
    if seen is None or silent is None or seen.class_ != "cut":
        return None
    direct = facts.results.get("idle-direct")
    lives = direct is not None and (direct.passed or (_seconds(direct, "lasted") or 0.0) > silent + _LATE)
    known, timeout = str(seen.detail("known") or ""), _timeout(facts)
    mine = timeout is not None and timeout - _EARLY <= silent <= timeout + _LATE
    evidence = (
        f"through the site: cut after {silent:.1f} s of silence, without a close frame",
        _straight(direct) if lives else "",
        _kept_alive(facts),
    )
    if direct is not None and not lives and direct.class_ == "cut" and not mine:
        return None  # the backend itself cuts
    if mine or (timeout is None and 59.0 <= silent <= 61.0):
        return blame(
            "read-timeout",
            "proven" if mine else "likely",
            f"a tunnel that is silent for {silent:.0f} s is cut: proxy_read_timeout",
            *evidence,
            help="send a heartbeat more often than that, and raise proxy_read_timeout on this path",
            by=tuple(name for name in ("idle", "idle-direct") if name in facts.results),
            span=_place(facts),
            level=Level.WARNING,
        )
    other = f"nginx itself would wait {timeout:g} s" if timeout is not None else ""
    return blame(
        "outer-idle-timeout",
        "proven" if timeout is not None and lives else "likely",
        f"a tunnel that is silent for {silent:.0f} s is cut, and not by this nginx's proxy_read_timeout",
        *evidence,
        other,
        f"such is the figure of {known}" if known else "",
        help="raise the idle timeout of what stands in front, or send a heartbeat more often than that",
        by=tuple(name for name in ("idle", "idle-direct") if name in facts.results),
        level=Level.WARNING,
    )


def _straight(direct: Observation | None) -> str:
    if direct is not None and direct.passed:
        return "straight to the backend the silent tunnel lives on"
    return "straight to the backend the silent tunnel is not cut in that time"


def _kept_alive(facts: Facts) -> str:
    pinged = facts.results.get("idle-ping")
    return "with a ping from the client now and then it lives on" if pinged is not None and pinged.passed else ""


def idle_closed(facts: Facts) -> RootCause | None:
    """The application itself closes a silent tunnel, with a close frame."""
    seen = facts.results.get("idle")
    if seen is None or seen.passed or seen.detail("ended") != "close":
        return None
    lasted = _seconds(seen, "lasted") or 0.0
    return blame(
        "backend-closes-idle",
        "proven",
        f"the application closes a silent tunnel after {lasted:.1f} s, with code {seen.detail('close_code')}",
        help="it is the application's own timeout: answer its heartbeat, or raise it there",
        by=("idle",),
        level=Level.WARNING,
    )


def no_heartbeat(facts: Facts) -> RootCause | None:
    """Neither side sends anything: the first idle timeout on the path ends the tunnel."""
    seen = facts.results.get("heartbeat")
    if seen is None or seen.class_ != "no-heartbeat":
        return None
    timeout = _timeout(facts)
    bites = f"nginx cuts a tunnel that is silent for {timeout:g} s" if timeout else ""
    return blame(
        "no-heartbeat",
        "proven",
        "the server sends no heartbeat, and browsers never send one: a silent tunnel is cut on the path",
        seen.message,
        bites,
        help="let the application ping every 20 to 30 s",
        by=("heartbeat",),
        level=Level.WARNING,
    )


def vanished(facts: Facts) -> RootCause | None:
    """The tunnel opened, and then nothing comes any more: a link is cut, or the application hangs."""
    silent = (("heartbeat", "vanished"), ("idle", "no-pong"))
    by = next((name for name, class_ in silent if facts.class_of(name) == class_), "")
    if not by:
        return None
    seen, timeout = facts.results[by], _timeout(facts)
    proven = bool(seen.detail("answered_first"))
    last = "it answered a ping at the opening and none later" if proven else "it answers no ping"
    return blame(
        "peer-vanished",
        "proven" if proven else "likely",
        f"the tunnel opens and looks open, but nothing comes from the server any more: {last}",
        seen.message,
        f"nginx itself ends such a tunnel only after {timeout:g} s of silence" if timeout else "",
        "" if proven else "a server that works and ignores pings would look the same (RFC 6455 asks it to answer)",
        help="see whether the application hangs, and whether the link to its machine is up; users only notice with a "
        "heartbeat: let the client send a message now and then, and reconnect if no answer comes",
        by=(by,),
        level=Level.WARNING,
    )


def _interval(facts: Facts) -> float | None:
    """Seconds between the server's heartbeats, as measured."""
    seen = facts.results.get("heartbeat")
    return _seconds(seen, "interval") or _seconds(seen, "first")


def pinged_in_time(facts: Facts) -> str:
    """What was measured, if the server's heartbeat comes before nginx cuts a silent tunnel; else empty."""
    interval, timeout = _interval(facts), _timeout(facts)
    if interval is None or timeout is None or interval >= timeout - _LATE:
        return ""
    return f"the server's heartbeat comes every {interval:.0f} s, in time"


def slow_heartbeat(facts: Facts) -> RootCause | None:
    """The heartbeat is slower than the idle timeout on the path, or just as slow: a race."""
    interval, timeout = _interval(facts), _timeout(facts)
    if interval is None or timeout is None or interval < timeout - _LATE:
        return None
    return blame(
        "read-timeout",
        "proven",
        f"the server's heartbeat comes every {interval:.0f} s, and nginx cuts after {timeout:g} s of silence",
        help="make the heartbeat twice as fast as the timeout, or raise proxy_read_timeout",
        by=("heartbeat",),
        span=_place(facts),
        level=Level.WARNING,
    )


def frozen_peer(facts: Facts) -> RootCause | None:
    """A client that is gone without a word is never noticed: it keeps a tunnel and two connections for ever."""
    seen = facts.results.get("heartbeat")
    if seen is None or seen.class_ != "no-prune":
        return None
    return blame(
        "frozen-peer-kept",
        "proven",
        "the server keeps a client that answers no heartbeat",
        seen.message,
        help="drop a client that has not answered for one or two heartbeats",
        by=("heartbeat",),
        level=Level.NOTE,
    )


def cut_in_logs(facts: Facts) -> RootCause | None:
    """The logs show tunnels that ended at the timeout."""
    clue = next((clue for clue in facts.clues if clue.rule == "read-timeout" and clue.mine), None)
    if clue is None:  # another path has its own timeout
        return None
    timeout = _timeout(facts)
    return blame(
        "read-timeout",
        "proven",
        "tunnels are cut because they were silent" + (f" for {timeout:g} s" if timeout else ""),
        f"{clue.path}: {clue.line}",
        help="send a heartbeat more often than that, and raise proxy_read_timeout on this path",
        by=("logs",),
        span=_place(facts),
        level=Level.WARNING,
    )


def reloads(facts: Facts) -> RootCause | None:
    """Old workers end their tunnels some time after a reload: worker_shutdown_timeout."""
    clue = facts.clue("reload-drops-connections")
    scope = facts.predicted.outcome.scope if facts.predicted else None
    limit = scope.config.main.first("worker_shutdown_timeout") if scope is not None else None
    if limit is None or (clue is not None and clue.certain is False):
        clue = None  # not the end of a worker: see `ended_together`
    if limit is None:
        return None
    milliseconds = parse_time(limit.args[0]) if limit.args else None
    after = f"{milliseconds / 1000:g} s after each reload" if milliseconds is not None else "after each reload"
    leaving = facts.around.leaving
    return blame(
        "reload-drops-connections",
        "proven",
        f"tunnels are dropped {after}",
        *_seen_together(clue),
        f"{leaving} old workers still hold tunnels" if leaving else "",
        help="a longer worker_shutdown_timeout or none, and clients that reconnect with jitter",
        by=("logs",) if clue and clue.certain else (),
        span=limit.span,
        level=Level.WARNING if clue else Level.NOTE,
    )


def _seen_together(clue: Clue | None) -> tuple[str, ...]:
    """What the access log shows, and how sure it is that a worker's end was the reason."""
    if clue is None:
        return ()
    if clue.certain:
        told = "so long before, the error log has a worker that was told to go"
    else:
        told = "whether a worker ended them, an error log at the level notice would tell"
    return f"{clue.path}: {clue.line}", told


def ended_together(facts: Facts) -> RootCause | None:
    """Tunnels ended together, and no worker of this nginx ended them: what stands behind it, or in front, did."""
    clue = facts.clue("reload-drops-connections")
    scope = facts.predicted.outcome.scope if facts.predicted else None
    limit = scope.config.main.first("worker_shutdown_timeout") if scope is not None else None
    if clue is None or (limit is not None and clue.certain is not False):
        return None
    if limit is not None:
        why = "no worker was told to go so long before, as the error log shows"
    elif scope is not None:
        why = "a reload leaves tunnels alone here: worker_shutdown_timeout is not set"
    else:
        why = "a reload does that only with worker_shutdown_timeout, and the configuration is not at hand"
    return blame(
        "backend-restart-drops",
        "possible",
        "tunnels ended together, as when the backend, or what stands in front of nginx, is restarted",
        f"{clue.path}: {clue.line}",
        why,
        help="compare the time with the restarts of the application; clients should reconnect after a random delay",
        by=("logs",),
        level=Level.NOTE,
    )


def logged(facts: Facts) -> tuple[RootCause, ...]:
    """What the error log says of this path without anything having been tried: it was so then."""
    own = (clue for clue in facts.clues if clue.mine and clue.rule not in ("read-timeout", "reload-drops-connections"))
    return tuple(
        blame(
            clue.rule,
            "possible",
            f"the error log tells: {clue.meaning}",
            f"{clue.path}: {clue.line}",
            help="it was so then; without --offline it is tried now",
            by=("logs",),
            level=Level.NOTE,
        )
        for clue in own
    )


TOLD = (cut_in_logs, reloads, ended_together)
"""Those that need no experiment."""

CAUSES = (
    idle_cut,
    idle_closed,
    vanished,
    no_heartbeat,
    slow_heartbeat,
    frozen_peer,
    *TOLD,
)
"""Those that were measured first."""
