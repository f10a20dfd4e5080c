"""Causes in the application: its lists, its paths, its libraries.  nginx does its part, or cannot help it."""

from __future__ import annotations

from ws101.diagnose.base import Facts, RootCause, blame
from ws101.diagnose.gateway import fails_at_the_gate
from ws101.findings import Level
from ws101.lazy import lazy_pattern
from ws101.probes.attribution import Answerer, answered_by
from ws101.text import Span

__all__ = ["CAUSES", "LAST_RESORT", "uneven"]

_UNKNOWN_SESSION = lazy_pattern(r'"code"\s*:\s*1\b|Session ID unknown|Invalid session|No Connection with that ID')
_TOO_LARGE = (400, 413, 414, 431, 494)
_ORIGIN_WORDS = lazy_pattern(r"(?i)\borigins?\b|cross.?site|CSRF")


def _handler(facts: Facts) -> Span | None:
    return facts.forwarded.handler.span if facts.forwarded else None


def _got(facts: Facts) -> str:
    return f"the live handshake gets {facts.said('site')}"


def large_header(facts: Facts) -> RootCause | None:
    """Cookies, a token or a long query are more than large_client_header_buffers takes."""
    if facts.status not in _TOO_LARGE or facts.response is None:
        return None
    page = "Too Large" in facts.response.body or "Too Large" in facts.response.reason
    smaller = facts.passed("no-cookies")
    clue = facts.clue("header-too-large")
    if not (facts.status in (414, 431, 494) or page or (smaller and facts.by_nginx)):
        return None
    size = len(facts.sent.encode()) if facts.sent else 0
    return blame(
        "header-too-large",
        "proven" if smaller or page else "likely",
        f"the handshake has {size} bytes of header fields, more than is taken on the way",
        _got(facts),
        "without cookies and long fields the same handshake opens a tunnel" if smaller else "",
        f"{clue.path}: {clue.line}" if clue and clue.fresh else "",
        help="large_client_header_buffers 4 32k; better: smaller cookies, and no token in the query or the subprotocol",
        by=("site", "no-cookies") if smaller else ("site",),
    )


def origin_list(facts: Facts) -> RootCause | None:
    """The Origin is not on the application's list."""
    if facts.works:
        return None
    origin = facts.sent.header("Origin") if facts.sent else None
    at_site = facts.passed("no-origin") or facts.passed("own-origin")
    at_backend = facts.passed("direct-no-origin") or facts.passed("direct-own-origin")
    spoken = facts.response is not None and _speaks_of_origin(facts)
    if not (at_site or at_backend or (spoken and not facts.by_nginx)):
        return None
    names = ("no-origin", "own-origin", "direct-no-origin", "direct-own-origin")
    shown = [f"{_TITLES[name]} {_TITLE_ENDS}" for name in names if facts.passed(name)]
    said = f"Origin {origin}" if origin else "a handshake without Origin"
    return blame(
        "app-origin-allowlist",
        "proven" if at_site or at_backend else "likely",
        f"the application refuses {said}: it is not on its list",
        _got(facts),
        *shown,
        "the answer itself speaks of the origin" if spoken else "",
        f"straight to the backend it is refused too: {facts.said('direct')}" if facts.equals("direct") else "",
        help="put the page's origin on the application's list of allowed origins; nginx is not to blame",
        by=("site", *(name for name in names if facts.passed(name))),
    )


_TITLE_ENDS = "the same handshake opens a tunnel"
_TITLES = {
    "no-origin": "without Origin",
    "own-origin": "with the site's own Origin",
    "direct-no-origin": "without Origin, straight to the backend,",
    "direct-own-origin": "with the site's own Origin, straight to the backend,",
}


def _speaks_of_origin(facts: Facts) -> bool:
    response = facts.response
    return response is not None and facts.status in (400, 403, 404) and bool(_ORIGIN_WORDS.search(response.body[:2000]))


def own_origin_refused(facts: Facts) -> RootCause | None:
    """A site that works without Origin and refuses a page of its own."""
    if not (facts.works and facts.failed("own-origin")):
        return None
    nginx_spoils = facts.passed("direct-own-origin")
    got = f"with the Origin of a page of this site: {facts.said('own-origin')}"
    if nginx_spoils:
        fate = facts.forwarded.fate("Host") if facts.forwarded else None
        asked = f"Host: {fate.value}" if fate else "another Host"
        sent = facts.sent.header("Host") if facts.sent else ""
        lost_port = fate is not None and (sent or "").rpartition(":")[0] == fate.value
        return blame(
            "host-port-lost" if lost_port else "host-not-forwarded",
            "proven",
            f"browsers are refused: nginx sends {asked}, and the application compares it with the page's origin",
            got,
            "straight to the backend, with the client's Host, the same handshake opens a tunnel",
            help="proxy_set_header Host $http_host; or, on ports 80 and 443 alone, $host",
            by=("own-origin", "direct-own-origin"),
            span=fate.origin.span if fate and fate.origin else _handler(facts),
        )
    return blame(
        "app-origin-allowlist",
        "likely",
        "browsers on a page of this site are refused: its origin is not on the application's list",
        got,
        help="if pages of this site open it, put the origin on the list; say --origin to ask for another page's",
        by=("site", "own-origin"),
        level=Level.WARNING,
    )


def connection_compared(facts: Facts) -> RootCause | None:
    """Firefox's `keep-alive, Upgrade` is refused where `Upgrade` alone is taken."""
    refused_firefox = facts.works and facts.failed("firefox")
    passes_alone = not facts.works and facts.passed("connection-alone")
    if not (refused_firefox or passes_alone):
        return None
    by = ("site", "firefox") if refused_firefox else ("site", "connection-alone")
    fate = facts.forwarded.fate("Connection") if facts.forwarded else None
    return blame(
        "backend-exact-connection-match",
        "proven",
        "Firefox is refused: what answers compares Connection with Upgrade instead of looking for upgrade in the list",
        f"with Connection: keep-alive, Upgrade: {facts.said('firefox' if refused_firefox else 'site')}",
        "with Connection: Upgrade the same handshake opens a tunnel",
        help='the backend is wrong; proxy_set_header Connection "Upgrade" sends it what it wants',
        by=by,
        span=fate.origin.span if fate and fate.origin else None,
    )


def subprotocol(facts: Facts) -> RootCause | None:
    """The client's subprotocol and the application's do not meet."""
    failure = facts.class_of("site")
    wrong = failure in ("missing-subprotocol", "unrequested-subprotocol")
    if not wrong and not facts.passed("no-subprotocol"):
        return None
    offered = ", ".join(facts.options.subprotocols)
    return blame(
        "subprotocol-mismatch",
        "proven",
        f"the application does not choose one of the subprotocols offered ({offered}), and clients then give up"
        if wrong
        else f"the application refuses the subprotocols offered ({offered})",
        facts.site.message if facts.site else "",
        "without Sec-WebSocket-Protocol the same handshake opens a tunnel" if facts.passed("no-subprotocol") else "",
        help="make both sides name the same subprotocol; nginx passes it on, so do not set it there",
        by=("site", "no-subprotocol") if facts.passed("no-subprotocol") else ("site",),
    )


def path(facts: Facts) -> RootCause | None:
    """The backend has its WebSocket at another path."""
    name = next((n for n in facts.results if n.startswith("path-") and facts.passed(n)), None)
    if name is None or facts.works:
        return None
    seen = facts.results[name].handshake
    good = seen.request.target if seen else ""
    predicted = facts.forwarded.request if facts.forwarded else None
    asked = predicted.target if predicted else facts.endpoint.target
    if facts.forwarded is None:
        rule, help = "client-path-mismatch", f"open {good}, or tell the client its path"
    elif good == facts.endpoint.target:
        rule, help = "proxy-pass-trailing-slash", "leave the path out of proxy_pass, so that it is passed on as it is"
    elif asked.startswith(facts.endpoint.target) and good.rstrip("/") == asked.rstrip("/"):
        rule, help = "client-path-mismatch", f"open {good}: the slash at the end is part of the path"
    else:
        rule, help = "path-prefix-not-stripped", "end location and proxy_pass with a slash each, or set the base path"
    return blame(
        rule,
        "proven",
        f"the backend has its WebSocket at {good}, and is asked for {asked}",
        _got(facts),
        f"straight to the backend, path {good}: {facts.said(name)}",
        f"straight to the backend, path {asked}: {facts.said('direct')}",
        help=help,
        by=("site", "direct", name),
        span=_handler(facts),
    )


def redirecting(facts: Facts) -> RootCause | None:
    """The application redirects: to https because it does not know that it is behind TLS, or to a login."""
    if facts.class_of("site") != "redirect" or facts.by_nginx:
        return None
    if not (facts.class_of("direct") == "redirect" or facts.class_of("replay") == "redirect"):
        return None
    told = facts.passed("direct-https")
    location = facts.response.header("Location") if facts.response else None
    follow = f"where it redirects to: {facts.said('redirected')}" if "redirected" in facts.results else ""
    return blame(
        "x-forwarded-proto-missing" if told else "backend-redirect",
        "proven",
        "the application does not learn that the client uses TLS, and redirects to https"
        if told
        else f"the application itself redirects the handshake to {location}, and WebSocket clients do not follow",
        f"straight to the backend: {facts.said('direct')}",
        "with X-Forwarded-Proto: https it opens a tunnel" if told else "",
        follow,
        help="proxy_set_header X-Forwarded-Proto $scheme;"
        if told
        else "see the application: a login page, force_ssl, or a slash at the end of the path",
        by=("site", "direct", "direct-https") if told else ("site", "direct"),
        span=_handler(facts) if told else None,
    )


def moved(facts: Facts) -> RootCause | None:
    """A redirect that nobody has been seen to make: told from where it leads."""
    location = facts.response.header("Location") if facts.response else None
    if facts.class_of("site") != "redirect" or location is None:
        return None
    if facts.class_of("direct") == "redirect" or facts.class_of("replay") == "redirect":
        return None
    path = facts.endpoint.target.partition("?")[0]
    rule, help = "backend-redirect", "open the address that it leads to, or see why it redirects: a login, a new path"
    if location.startswith("https://") and not facts.endpoint.tls:
        rule, help = "http-to-https-redirect", "open it with wss://"
    elif location.partition("?")[0].endswith(f"{path}/"):
        rule, help = "location-slash-redirect", "open it with the slash at the end, or make location and client agree"
    opens = facts.passed("redirected")
    return blame(
        rule,
        "proven" if opens else "likely",
        f"the handshake is redirected to {location[:120]}, and WebSocket clients do not follow",
        _got(facts),
        f"at that address: {facts.said('redirected')}" if "redirected" in facts.results else "",
        help=help,
        by=("site", "redirected") if opens else ("site",),
    )


def says_https(facts: Facts) -> RootCause | None:
    """The application compares the scheme of Origin with the one it was told."""
    if facts.works or facts.class_of("direct") == "redirect" or not facts.passed("direct-https"):
        return None
    return blame(
        "x-forwarded-proto-missing",
        "proven",
        "the application does not learn that the client uses TLS, and refuses the handshake",
        _got(facts),
        "straight to the backend with X-Forwarded-Proto: https it opens a tunnel",
        help="proxy_set_header X-Forwarded-Proto $scheme;",
        by=("site", "direct", "direct-https"),
        span=_handler(facts),
    )


def host_list(facts: Facts) -> RootCause | None:
    """The application takes its own name alone."""
    if facts.works or not facts.passed("direct-own-host"):
        return None
    sent = facts.sent.header("Host") if facts.sent else ""
    return blame(
        "app-host-allowlist",
        "proven",
        f"the application does not take Host: {sent}; its own address it takes",
        _got(facts),
        "straight to the backend with its own Host the same handshake opens a tunnel",
        help="put the public name on the application's list of hosts (ALLOWED_HOSTS, allowedHosts)",
        by=("site", "direct", "direct-own-host"),
    )


def sticky(facts: Facts) -> RootCause | None:
    """Engine.IO's polling: the next request reaches another process, which does not know the session."""
    names = [name for name in facts.results if name.startswith("polling-")]
    lost = [name for name in names if _is_unknown_session(facts, name)]
    if not lost or "polling" not in facts.results:
        return None
    known = len(names) - len(lost)
    return blame(
        "no-sticky-sessions",
        "proven",
        "a polling session is not known to every process behind nginx: requests of one session must reach the same one",
        f"of {len(names)} requests with a session that was just opened, {len(lost)} refused: {facts.said(lost[0])}",
        f"{known} reached the process that knows it" if known else "",
        help="ip_hash or hash in the upstream (mind a load balancer's address), or the websocket transport alone",
        by=("polling", *lost),
        span=_upstream(facts),
        level=Level.ERROR if not facts.works else Level.WARNING,
    )


def _is_unknown_session(facts: Facts, name: str) -> bool:
    handshake = facts.results[name].handshake
    response = handshake.response if handshake else None
    return response is not None and response.status in (400, 404) and bool(_UNKNOWN_SESSION.search(response.body))


def _upstream(facts: Facts) -> Span | None:
    upstream = facts.forwarded.upstream if facts.forwarded else None
    block = upstream.block if upstream else None
    return block.opener.span if block is not None and block.opener is not None else None


def plain_spoilt(facts: Facts) -> RootCause | None:
    """Connection: upgrade in every request: plain ones are refused, or hang."""
    if not facts.failed("plain") or facts.equals("plain", "direct-plain") or "direct-plain" not in facts.results:
        return None
    one, two = facts.status_of("plain"), facts.status_of("direct-plain")
    if two is None or two >= 400 or (one is not None and one < 400):
        return None
    fate = facts.forwarded.fate("Connection") if facts.forwarded else None
    return blame(
        "connection-always-upgrade",
        "proven",
        "Connection: upgrade is sent with plain requests too, and the backend refuses those",
        f"a plain request through nginx: {facts.said('plain')}",
        f"the same straight to the backend: {facts.said('direct-plain')}",
        help="set it with a map on $http_upgrade",
        by=("plain", "direct-plain"),
        span=fate.origin.span if fate and fate.origin else None,
        level=Level.WARNING,
    )


def password(facts: Facts) -> RootCause | None:
    """Credentials are asked for, which most clients do not send with the handshake."""
    if facts.status not in (401, 407):
        return None
    whose = "nginx" if facts.by_nginx or facts.passed("direct") else "the application"
    rule = "auth-basic" if whose == "nginx" else "app-authentication"
    asked = facts.response.header("WWW-Authenticate") if facts.response else None
    return blame(
        rule,
        "proven" if facts.by_nginx or "direct" in facts.results else "likely",
        f"{whose} asks for credentials, which browsers do not send with a WebSocket's handshake",
        _got(facts),
        f"WWW-Authenticate: {asked[:80]}" if asked else "",
        "straight to the backend the same handshake opens a tunnel" if facts.passed("direct") else "",
        help="let a cookie or a token carry the login; to try with credentials: --header 'Authorization: ...'",
        by=("site", "direct") if "direct" in facts.results else ("site",),
    )


def incapable(facts: Facts) -> RootCause | None:
    """The backend refuses the handshake itself, without nginx too."""
    if facts.works or facts.status == 101 or not facts.failed("direct") or fails_at_the_gate(facts):
        return None  # what is wrong with a 101 is said where it is looked into
    if facts.class_of("direct") in ("refused", "unreachable", "dns", "timeout", "tls-plain-mismatch"):
        return None
    site = facts.status is not None
    same = facts.equals("direct") or facts.equals("replay")
    hop = _proxy_answers(facts)
    if hop is not None:
        return hop
    return blame(
        "backend-not-websocket-capable",
        "proven" if same else "likely",
        "the backend itself refuses the handshake, without nginx too",
        _got(facts) if site else "",
        f"straight to the backend, the whole handshake: {facts.said('direct')}",
        help="look at the application: its port, its path, and whether a WebSocket library is installed",
        by=("site", "direct"),
    )


def uneven(facts: Facts) -> RootCause | None:
    """One address of the upstream takes the handshake and another does not: every n-th one fails."""
    asked = {place.shown: "direct" if n == 0 else f"peer-{place.shown}" for n, place in enumerate(facts.backends)}
    good = [shown for shown, name in asked.items() if facts.passed(name)]
    bad = [shown for shown, name in asked.items() if facts.failed(name)]
    if not good or not bad or {place.endpoint.host for place in facts.backends} == {"127.0.0.1", "::1"}:
        return None
    down = facts.class_of(asked[bad[0]]) in ("refused", "unreachable", "timeout")
    if facts.works and down:
        return None  # nginx asks the next one
    if not facts.works and not any(facts.equals(asked[shown]) for shown in bad):
        return None
    return blame(
        "upstream-unreachable" if down else "backend-not-websocket-capable",
        "proven",
        f"of the {len(asked)} addresses of the upstream {', '.join(bad[:3])} does not take the handshake",
        *(f"straight to {shown}: {facts.said(asked[shown])}" for shown in (*bad[:2], *good[:1])),
        help="take it out of the upstream, or start the application there",
        by=("site", *(asked[shown] for shown in (*bad, *good[:1]))),
        span=_upstream(facts),
        level=Level.WARNING if facts.works else Level.ERROR,
    )


def _proxy_answers(facts: Facts) -> RootCause | None:
    """What listens at the backend's address is a proxy itself: it answers in nginx's name for somebody behind it."""
    seen = facts.results["direct"].handshake
    response = seen.response if seen else None
    if response is None or "nginx" not in (response.header("Server") or "").lower():
        return None
    if answered_by(response).who is Answerer.NGINX:
        message = "the backend is another nginx, which answers the handshake itself"
    else:
        message = "the backend is another nginx, which does not pass the handshake on to what is behind it"
    where = facts.backends[0].shown
    return blame(
        "second-proxy-hop",
        "likely",
        message,
        f"straight to {where}: {facts.said('direct')}, with Server: {response.header('Server')}",
        help=f"diagnose that hop with its own configuration: ws101 ws://{where}{facts.endpoint.target} --conf PATH",
        by=("site", "direct"),
        span=_handler(facts),
    )


def _last_origin(facts: Facts) -> RootCause | None:
    """A 403 of the application that no experiment turned."""
    if facts.works or facts.status != 403 or facts.by_nginx or facts.answerer.who is Answerer.OTHER:
        return None
    return blame(
        "app-origin-allowlist",
        "possible",
        "the application refuses the handshake; most often because the Origin is not on its list",
        _got(facts),
        help="say --origin with the page's address, and --direct with the backend's, to have it tried",
    )


CAUSES = (
    *(large_header, origin_list, own_origin_refused, connection_compared, subprotocol, path, redirecting, moved),
    *(uneven, says_https, host_list, password, sticky, plain_spoilt, incapable),
)
"""The more special first."""

LAST_RESORT = (_last_origin,)
"""Asked only where nothing else explains the answer."""
