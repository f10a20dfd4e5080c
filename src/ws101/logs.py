"""nginx's logs: which causes the lines of an error log tell, and how tunnels end in an access log.  Pure text.

An error log's line reads ``date time [level] pid#tid: *connection message, client: ..., request: "..."`` (nginx:
src/core/ngx_log.c, src/http/ngx_http_request.c:ngx_http_log_error_handler).  What is said at ``info`` never reaches a
log at the default level ``error``: the cut of an idle tunnel is one of these, and then only the access log shows it, as
a 101 whose time lies at the timeout.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache

from ws101.lazy import dataclass, lazy_pattern

__all__ = [
    "COMBINED",
    "EDGES",
    "SIGNATURES",
    "AccessEntry",
    "Clue",
    "ErrorLine",
    "Signature",
    "Tally",
    "bursts",
    "clues_in",
    "cut_tunnels",
    "read_access",
    "read_errors",
]

COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)
"""The format ``combined``, which every nginx has (nginx: src/http/modules/ngx_http_log_module.c)."""

LINE_LIMIT = 4096
"""Of a longer line only so much is looked at; nginx itself cuts the lines of an error log at 2048."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a cause writes into the error log.

    Args:
        pattern: Found in the message.
        rule: The cause.
        meaning: What the line says, one clause.
        level: The level it is written at; ``info`` is not in a log at the default level.
    """

    pattern: re.Pattern[str]
    rule: str
    meaning: str
    level: str = "error"


def _signature(pattern: str, rule: str, meaning: str, level: str = "error") -> Signature:
    return Signature(re.compile(pattern), rule, meaning, level)


SIGNATURES: tuple[Signature, ...] = (
    _signature(
        r'unknown "[^"]*" variable', "map-variable-undefined", "a variable is used that nothing defines", "emerg"
    ),
    _signature(r'"map" directive is not allowed here', "map-misdefined", "a map stands inside a server", "emerg"),
    _signature(r"invalid number of arguments in", "config-syntax-error", "a semicolon is missing", "emerg"),
    _signature(r"host not found in upstream", "upstream-unreachable", "the backend's name has no address", "emerg"),
    _signature(r"\(13: Permission denied\) while connecting to upstream", "selinux-or-socket-permission",
               "nginx is not allowed to connect to the backend", "crit"),
    _signature(r"\(2: No such file or directory\) while connecting to upstream", "upstream-unreachable",
               "the backend's socket is not there", "crit"),
    _signature(r"connect\(\) failed \(113: (?:No route to host|Host is unreachable)", "stale-upstream-dns",
               "there is no way to the address that nginx has for the backend"),
    _signature(r"connect\(\) failed \(111: Connection refused\).*upstream: \"[a-z]+://\[::1\]", "localhost-ipv6",
               "localhost was taken as ::1, where nothing listens"),
    _signature(r"connect\(\) failed \(111: Connection refused\)", "upstream-unreachable",
               "nothing listens at the backend's address"),
    _signature(r"no live upstreams", "upstream-unreachable", "every address of the upstream has failed or is down"),
    _signature(r"upstream timed out .* while connecting to upstream", "upstream-slow-504",
               "the backend's address does not answer"),
    _signature(r"no resolver defined to resolve", "missing-resolver", "there is no resolver for the backend's name"),
    _signature(r"could not be resolved", "stale-upstream-dns", "the resolver knows no address for the backend's name"),
    _signature(r"upstream sent too big header", "proxy-buffer-too-small",
               "the backend's header fields do not fit into proxy_buffer_size"),
    _signature(r"SSL_do_handshake\(\) failed.*(?:wrong version number|http request|packet length)",
               "upstream-scheme-mismatch", "nginx speaks TLS to a backend that does not"),
    _signature(r"peer closed connection in SSL handshake", "upstream-scheme-mismatch",
               "the backend closes when nginx speaks TLS to it"),
    _signature(r"upstream prematurely closed connection while reading response header", "backend-closes",
               "the backend closes the connection without an answer"),
    _signature(r"recv\(\) failed \(104: .*while reading response header", "backend-closes",
               "the backend resets the connection without an answer"),
    _signature(r"auth request unexpected status", "auth-request-inherits-upgrade",
               "the authentication service did not answer with 2xx, 401 or 403"),
    _signature(r"upstream timed out .* while reading response header", "upstream-slow-504",
               "the backend took the request and did not answer in time"),
    _signature(r"upstream timed out .* while proxying upgraded connection", "read-timeout",
               "nginx cut a tunnel that was silent for too long", "info"),
    _signature(r"client sent plain HTTP request to HTTPS port", "plain-http-to-https-port",
               "a client spoke plain HTTP to a TLS port", "info"),
    _signature(r"client sent too long (?:header line|URI)|client sent too large request", "header-too-large",
               "a client sent more than large_client_header_buffers takes", "info"),
    _signature(r"broken header: .* while reading PROXY protocol", "proxy-protocol-mismatch",
               "a client did not begin with the PROXY protocol, which this port expects"),
    _signature(r'request: "PROXY (?:TCP4|TCP6|UNKNOWN)', "proxy-protocol-mismatch",
               "a client began with the PROXY protocol, which this port does not expect", "info"),
    _signature(r"invalid connection preface", "http2-without-rfc8441",
               "a client spoke HTTP/1.1 to a port that takes HTTP/2 alone", "info"),
    _signature(r"(?:limiting|delaying) (?:requests|connections)", "rate-limit", "nginx limits requests or connections"),
    _signature(r"worker_connections are not enough", "worker-connections", "a worker has no connection left", "alert"),
    _signature(r"(?:accept4?|socket)\(\) failed \(24: Too many open files", "worker-connections",
               "a worker may open no more files", "crit"),
    _signature(r"access forbidden by rule", "access-denied", "an access rule refuses the client"),
    _signature(r'user "[^"]*" was not found|password mismatch|no user/password was provided', "auth-basic",
               "basic authentication refuses the client"),
    _signature(r"ModSecurity", "waf-modsecurity", "a web application firewall intervened"),
    _signature(r'open\(\) "[^"]*" failed \(2:', "no-websocket-location-spa-fallback",
               "nginx looked for a file of this name"),
    _signature(r"rewrite or internal redirection cycle", "redirect-cycle", "nginx went in a circle"),
)  # fmt: skip
"""What each cause writes, the more special first; measured on 1.22.1 to 1.31.4."""


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A line of an error log.

    Args:
        time: As written, ``2026/01/31 12:00:00``.
        level: For example ``error``.
        message: What follows the process and connection numbers.
    """

    time: str
    level: str
    message: str

    def field(self, name: str) -> str:
        """One of ``client``, ``server``, ``request``, ``upstream``, ``host`` of the context; empty if absent."""
        match = re.search(rf', {name}: (?:"([^"]*)"|([^,]*))', self.message)
        return (match[1] or match[2] or "") if match else ""

    @property
    def target(self) -> str:
        """The request target it is about; empty if it is about none."""
        parts = self.field("request").split(" ")
        return parts[1] if len(parts) > 1 else ""


@dataclass(frozen=True, slots=True)
class Clue:
    """A line of a log that tells of a cause.

    Args:
        rule: The cause.
        meaning: What the line says, one clause.
        line: The line, shortened.
        path: The log it stands in.
        fresh: Whether it was written after the diagnosis began; else it may be about something else.
        upstream: The address of the backend it names; empty if none.
        mine: Whether it is about the same request target.
        certain: Of tunnels that ended together: whether a worker that was told to go ended them, as the error log says;
            None if the logs do not tell.
    """

    rule: str
    meaning: str
    line: str
    path: str
    fresh: bool = True
    upstream: str = ""
    mine: bool = True
    certain: bool | None = None


_ERROR = lazy_pattern(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[([a-z]+)\] \d+#\d+: (?:\*\d+ )?(.*)")
_UPSTREAM = lazy_pattern(r"[a-z]+://(unix:[^:]+|\[[^\]]*\]:\d+|[^/:]+:\d+)")


def _lines(text: str) -> Iterator[str]:
    return (line[:LINE_LIMIT].rstrip("\r") for line in text.split("\n"))


def read_errors(text: str) -> Iterator[ErrorLine]:
    """The lines of an error log that are whole; others are passed over."""
    for line in _lines(text):
        match = _ERROR.fullmatch(line)
        if match:
            yield ErrorLine(match[1], match[2], match[3])


def clues_in(text: str, path: str, *, target: str = "", fresh: bool = True) -> tuple[Clue, ...]:
    """What an error log tells, the last line first, each cause once.

    Args:
        text: The log's text, latin-1.
        path: Its path.
        target: The request target that is diagnosed: lines about it come before lines about others.
        fresh: Whether the text was written after the diagnosis began.
    """
    found: dict[str, Clue] = {}
    for line in read_errors(text):
        signature = next((s for s in SIGNATURES if s.pattern.search(line.message)), None)
        if signature is None:
            continue
        mine = not line.target or _path(line.target) == _path(target)
        before = found.get(signature.rule)
        if before is not None and before.mine and not mine:
            continue
        address = _UPSTREAM.match(line.field("upstream"))
        shown = f"{line.time} [{line.level}] {line.message}"[:300]
        clue = Clue(signature.rule, signature.meaning, shown, path, fresh, address[1] if address else "", mine)
        found.pop(signature.rule, None)
        found[signature.rule] = clue
    newest = tuple(found.values())[::-1]
    return tuple(sorted(newest, key=lambda clue: not clue.mine))


def _path(target: str) -> str:
    return target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """A line of an access log, as far as its format tells.

    Args:
        status: The status sent to the client.
        seconds: ``$request_time``; None if the format has none.
        target: The request target; empty if the format has none.
        upstream_status: ``$upstream_status``; empty if the format has none or no backend was asked.
        ended: The time as written, by ``$msec``, ``$time_iso8601`` or ``$time_local``; empty if there is none.
        client: ``$remote_addr``; empty if the format has none.
        agent: ``$http_user_agent``; empty if the format has none.
    """

    status: int
    seconds: float | None = None
    target: str = ""
    upstream_status: str = ""
    ended: str = ""
    client: str = ""
    agent: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is a request of ws101's own, which tells nothing of users."""
        return self.agent == "ws101" or self.agent.startswith("ws101/")


_VARIABLE = lazy_pattern(r"\$(?:\{(\w+)\}|(\w+))")
_KEPT = frozenset(
    "status request_time request request_uri uri upstream_status msec time_iso8601 time_local remote_addr "
    "http_user_agent".split()
)


@cache
def _reader(form: str) -> re.Pattern[str]:
    """A log_format as a pattern with a group for each variable that matters.

    A value ends at the first character of what follows it in the format, which nginx's own escaping allows and which
    keeps the pattern from going back and forth.
    """
    parts, end, seen = list[str](), 0, set[str]()
    for match in _VARIABLE.finditer(form):
        parts.append(re.escape(form[end : match.start()]))
        name, end = match[1] or match[2], match.end()
        stop = form[end : end + 1]
        value = f"[^{re.escape(stop)}]*" if stop and stop != "$" else ".*?"
        kept = name in _KEPT and name not in seen
        parts.append(f"(?P<{name}>{value})" if kept else value)
        seen.add(name)
    return re.compile("".join(parts) + re.escape(form[end:]))


def read_access(text: str, form: str = COMBINED) -> Iterator[AccessEntry]:
    """The lines of an access log that fit its format; others are passed over.

    Args:
        text: The log's text, latin-1.
        form: The text of its log_format.
    """
    pattern = _reader(form)
    for line in _lines(text):
        match = pattern.fullmatch(line)
        fields = match.groupdict() if match else {}
        status, taken = fields.get("status", ""), fields.get("request_time", "")
        if not _STATUS.fullmatch(status):
            continue
        asked = fields.get("request", "").split(" ")
        target = fields.get("request_uri") or fields.get("uri") or (asked[1] if len(asked) > 1 else "")
        ended = fields.get("msec") or fields.get("time_iso8601") or fields.get("time_local") or ""
        seconds = float(taken) if _SECONDS.fullmatch(taken) else None
        client, agent = fields.get("remote_addr", ""), fields.get("http_user_agent", "")
        yield AccessEntry(int(status), seconds, target, fields.get("upstream_status", ""), ended, client, agent)


_STATUS = lazy_pattern(r"[0-9]{3}")
_SECONDS = lazy_pattern(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def cut_tunnels(entries: Iterable[AccessEntry], timeout: float, target: str = "") -> tuple[AccessEntry, ...]:
    """The tunnels that ended as long after they began as an idle timeout is: cut without ever a word.

    nginx's timers may fire 0.3 s early (NGX_TIMER_LAZY_DELAY) and a busy worker is late.  Those of ws101 itself are
    left out: ``probe --many`` ends its tunnels at one age too.
    """
    return tuple(
        entry
        for entry in entries
        if entry.status == 101
        and not entry.ours
        and entry.seconds is not None
        and timeout - 0.35 <= entry.seconds <= timeout + 1.0
        and (not target or _path(entry.target) == _path(target))
    )


def bursts(entries: Iterable[AccessEntry], *, least: int = 3) -> tuple[tuple[AccessEntry, ...], ...]:
    """Tunnels of different age that ended within the same second, those of ws101 itself left out.

    A worker that may wait no longer ends them so (worker_shutdown_timeout), but also a backend that is restarted, what
    stands in front, or a client that leaves with all it had open.  An nginx that is stopped or crashes writes no line
    of its tunnels at all (measured: 1.22.1 with TERM, KILL and SEGV).

    Args:
        entries: Of one log, in its order.
        least: How many make a burst.
    """
    groups: dict[str, list[AccessEntry]] = {}
    for entry in entries:
        if entry.status == 101 and entry.ended and not entry.ours:
            groups.setdefault(entry.ended.partition(".")[0], []).append(entry)
    return tuple(
        tuple(group) for group in groups.values() if len(group) >= least and len({_age(entry) for entry in group}) > 1
    )


def _age(entry: AccessEntry) -> float | None:
    return round(entry.seconds, 1) if entry.seconds is not None else None


EDGES = (1, 5, 10, 30, 45, 55, 65, 120, 300, 600, 3600, 86400)
"""Where the ages of tunnels are parted for people, in seconds: the default of 60 s lies in the middle of a part."""


class Tally:
    """What logs of any length tell, in memory that does not grow with them.

    Args:
        target: A request target: only lines about its path are counted; empty counts all.

    Attributes:
        lines: How many lines were looked at.
        unread: Lines of an interesting status that do not fit the format.
        statuses: How often each status of `Tally.TOLD` stands there, by path; paths beyond 500 count as ``(others)``.
        ages: Tunnels by how long they lived, in whole seconds; those beyond a day count as a day.
        untimed: Tunnels of which the format does not tell how long they lived.
        own: Tunnels of ws101 itself, by its User-Agent: neither among the ages nor among the untimed.
        told: Lines of error logs by cause: how often, what they mean, the first and the last time.
        emerg: How often nginx refused to start or to reload, and the last line about it.
    """

    TOLD = (101, 400, 426, 499, 502, 504)
    """The statuses that tell of WebSockets."""

    _PATHS = 500
    _DAY = 86400

    def __init__(self, target: str = "") -> None:
        self._wanted = _path(target)
        self.lines = self.unread = self.untimed = self.own = 0
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.ages: Counter[int] = Counter()
        self.told: dict[str, tuple[int, str, str, str]] = {}
        self.emerg: tuple[int, str] = (0, "")
        self._paths: set[str] = set()

    def add_access(self, entry: AccessEntry) -> None:
        """A line of an access log."""
        if self._wanted and _path(entry.target) != self._wanted:
            return
        path = _path(entry.target)[:200] or "(unknown)"
        if path not in self._paths:
            if len(self._paths) >= self._PATHS:
                path = "(others)"
            self._paths.add(path)
        self.statuses[path, entry.status] += 1
        if entry.status == 101:
            if entry.ours:
                self.own += 1
            elif entry.seconds is None:
                self.untimed += 1
            else:
                self.ages[min(int(entry.seconds + 0.5), self._DAY)] += 1

    def add_error(self, line: ErrorLine) -> None:
        """A line of an error log."""
        if self._wanted and _path(line.target) != self._wanted:
            return
        if line.level == "emerg":
            self.emerg = (self.emerg[0] + 1, f"{line.time} {line.message}"[:300])
        if not _ANY.search(line.message):
            return
        signature = next(s for s in SIGNATURES if s.pattern.search(line.message))
        count, meaning, first, _ = self.told.get(signature.rule, (0, signature.meaning, line.time, ""))
        self.told[signature.rule] = (count + 1, meaning, first, line.time)

    @property
    def tunnels(self) -> int:
        """How many tunnels of others ended."""
        return self.ages.total() + self.untimed

    def histogram(self) -> tuple[tuple[int, int | None, int], ...]:
        """The tunnels by age: from, up to (None: no end), how many; from the first part with any to the last."""
        parts = [(low, high, 0) for low, high in zip((0, *EDGES), (*EDGES, None), strict=True)]
        for age, number in self.ages.items():
            at = bisect_right(EDGES, age)
            parts[at] = (*parts[at][:2], parts[at][2] + number)
        taken = [at for at, part in enumerate(parts) if part[2]]
        return tuple(parts[taken[0] : taken[-1] + 1]) if taken else ()

    def clusters(self) -> tuple[tuple[int, int], ...]:
        """Ages at which tunnels pile up, as at an idle timeout: the second, and how many; the largest first.

        A pile has at least 3 tunnels and a tenth of all that lived for 2 s or longer, within a second of each other,
        and three times as many as the seconds around it have together.
        """
        long = sum(number for age, number in self.ages.items() if age >= 2)
        found = []
        for age in sorted(self.ages):
            near = sum(self.ages[age + step] for step in (-1, 0, 1))
            around = sum(self.ages[age + step] for step in (-4, -3, -2, 2, 3, 4))
            peak = self.ages[age] == max(self.ages[age + step] for step in (-1, 0, 1))
            if age >= 2 and peak and near >= max(3, long / 10) and near >= 3 * around:
                found.append((age, near))
        kept = [pile for pile in found if (pile[0] - 1, pile[1]) not in found]
        return tuple(sorted(kept, key=lambda pile: -pile[1]))


_ANY = lazy_pattern("|".join(f"(?:{signature.pattern.pattern})" for signature in SIGNATURES))
"""Whether any signature is found: asked first, since most lines have none."""
