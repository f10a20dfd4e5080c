"""The faults that ``ws101 lab break`` can stage: each is a change of the configuration that people really make.

A fault's name is that of the rule that finds it.  Its edits are replacements in the text of a working site, so what is
broken can be read as a diff; an edit whose old text is not there is a defect of the table, not a fault.
"""

from __future__ import annotations

from difflib import get_close_matches

from ws101.errors import UsageError
from ws101.lab.site import MAIN, MAPS, OTHERS, SITE, UPSTREAMS, Plan, forwarded_host, site_files
from ws101.lazy import dataclass

__all__ = ["FAULTS", "Change", "Fault", "broken_files", "faults_for", "find_fault"]


@dataclass(frozen=True, slots=True)
class Change:
    """One replacement.

    Args:
        file: The file, below nginx's folder.
        old: What stands there; ``PORT`` means nginx's port.
        new: What stands there afterwards.
        after: The replacement is made behind the first place where this stands.
    """

    file: str
    old: str
    new: str
    after: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to learn from.

    Args:
        name: The rule that finds it.
        summary: What somebody did, in a few words.
        changes: The edits.
        path: What is opened to see it: ``/ws`` unless another WebSocket is meant.
        mending: What the doctor does about it: ``fix`` (by itself), ``unsafe`` (when told to, for it changes other
            requests too), ``select`` (when told to and by its name, for it may be no fault), ``advice`` (it says what
            to do).
        seen: What is seen where that is not the answer to a handshake: ``idle`` (cut when silent), ``second`` (the
            second socket is refused), ``polling`` (sessions get lost), ``refused`` (nginx does not load it).
        module: The module of nginx that it needs; empty for none.
        files: Files that it brings along.
        unlink: Whether the link in sites-enabled goes.
    """

    name: str
    summary: str
    changes: tuple[Change, ...] = ()
    path: str = "/ws"
    mending: str = "fix"
    seen: str = ""
    module: str = ""
    files: tuple[tuple[str, str], ...] = ()
    unlink: bool = False


_WS = "location /ws {"
_UPGRADE = "        proxy_set_header Upgrade $upgrade;\n"
_CONNECTION = "        proxy_set_header Connection $connection_upgrade;\n"
_VERSION = "        proxy_http_version 1.1;\n"
_TIMEOUT = "        proxy_read_timeout 86400s;\n"
_BACKEND = "        proxy_pass http://chat;\n"
_PAGE = "    # the page: chat and dashboard\n"


def _ws(old: str, new: str) -> Change:
    """A replacement in the location of the chat."""
    return Change(SITE, old, new, after=_WS)


def _added(line: str) -> Change:
    """A further directive in the location of the chat."""
    return _ws(_TIMEOUT, f"{_TIMEOUT}        {line}\n")


def _on_server(lines: str) -> Change:
    """A further directive in the server."""
    return Change(SITE, _PAGE, f"    {lines}\n\n{_PAGE}")


FAULTS = (
    Fault(
        "upgrade-not-forwarded",
        "the three lines for WebSockets were never written: the story itself",
        (_ws(_UPGRADE, ""), _ws(_CONNECTION, ""), _ws(_VERSION, "")),
    ),
    Fault("missing-upgrade-header", "Upgrade is not forwarded", (_ws(_UPGRADE, ""),)),
    Fault("missing-connection-header", "Connection is not forwarded", (_ws(_CONNECTION, ""),)),
    Fault(
        "missing-http-version",
        "the backend is spoken to in HTTP/1.0, which knows no upgrade",
        (_ws(_VERSION, "        proxy_http_version 1.0;\n"),),
    ),
    Fault(
        "connection-cleared",
        "Connection is emptied, as recipes for keepalive say",
        (_ws(_CONNECTION, '        proxy_set_header Connection "";\n'),),
    ),
    Fault(
        "connection-keep-alive",
        "Connection says keep-alive to everybody",
        (_ws(_CONNECTION, "        proxy_set_header Connection keep-alive;\n"),),
    ),
    Fault(
        "upgrade-header-wrong-value",
        "Upgrade gets the value that is meant for Connection",
        (_ws(_UPGRADE, "        proxy_set_header Upgrade $connection_upgrade;\n"),),
    ),
    Fault("duplicate-upgrade-header", "Upgrade is set twice, and sent twice", (_ws(_UPGRADE, _UPGRADE + _UPGRADE),)),
    Fault(
        "invisible-characters",
        "a quotation mark from a word processor stands in Connection",
        (_ws(_CONNECTION, "        proxy_set_header Connection \xe2\x80\x9cupgrade\xe2\x80\x9d;\n"),),
    ),
    Fault(
        "header-inheritance-reset",
        "the lines moved to the server; the one that stayed in the location discards them all",
        (_ws(_UPGRADE, ""), _ws(_CONNECTION, ""), _on_server(f"{_UPGRADE.strip()}\n{_CONNECTION.rstrip()}")),
    ),
    Fault(
        "regex-location-shadows",
        "a regular expression takes /ws away from its location",
        (_on_server("location ~ ^/(ws|api) {\n        proxy_pass http://chat;\n    }"),),
        mending="unsafe",
    ),
    Fault(
        "no-websocket-location-spa-fallback",
        "there is no location for /ws: the page answers, with 200",
        (
            Change(SITE, "location /ws {", "location /live {"),
            Change(SITE, "try_files $uri $uri/ =404;", "try_files $uri /index.html;"),
        ),
        mending="advice",
    ),
    Fault(
        "location-slash-redirect",
        "the location is /ws/, and the page opens /ws",
        (
            Change(SITE, "location /ws {", "location /ws/ {"),
        ),
    ),
    Fault(
        "proxy-pass-trailing-slash",
        "a slash behind the backend cuts /ws off",
        (_ws(_BACKEND, "        proxy_pass http://chat/;\n"),),
        mending="select",
    ),
    Fault(
        "variable-proxy-pass-uri",
        "a variable in proxy_pass, with a path: it replaces what was asked for",
        (_ws(_BACKEND, "        set $backend chat;\n        proxy_pass http://$backend/live;\n"),),
        mending="advice",
    ),
    Fault(
        "host-not-forwarded",
        "the backend is told another Host than the browser asked for, and refuses",
        (_ws("        proxy_set_header Host HOST;\n", ""),),
        mending="select",
    ),
    Fault(
        "host-port-lost",
        "Host reaches the backend without its port, so it differs from the page's Origin",
        (_ws("        proxy_set_header Host HOST;\n", "        proxy_set_header Host $host;\n"),),
        mending="unsafe",
    ),
    Fault(
        "map-misdefined",
        "a second map of the same variable, the wrong way round, wins",
        (
            Change(
                MAPS,
                "map $http_upgrade $upgrade {",
                "map $http_upgrade $connection_upgrade {\n    default close;\n    ''      upgrade;\n}\n\n"
                "map $http_upgrade $upgrade {",
            ),
        ),
    ),
    Fault(
        "map-variable-undefined",
        "the map of $connection_upgrade was lost in a deployment",
        (Change(MAPS, 'map $http_upgrade $connection_upgrade {\n    default   "";\n    websocket upgrade;\n}\n', ""),),
        seen="refused",
    ),
    Fault(
        "config-syntax-error",
        "a semicolon is missing",
        (_ws(_VERSION, "        proxy_http_version 1.1\n"),),
        seen="refused",
        mending="advice",
    ),
    Fault(
        "read-timeout",
        "a silent socket is cut after 2 s (by default after 60 s: every minute on the dot)",
        (_ws(_TIMEOUT, "        proxy_read_timeout 2s;\n"),),
        seen="idle",
    ),
    Fault(
        "proxy-hide-upgrade-header",
        "Upgrade is hidden from the answer: nginx logs 101, and the browser refuses it",
        (_added("proxy_hide_header Upgrade;"),),
    ),
    Fault(
        "add-header-upgrade",
        "the fields are added to the answer instead of to the request",
        (
            _ws(_UPGRADE, "        add_header Upgrade $http_upgrade;\n"),
            _ws(_CONNECTION, "        add_header Connection $connection_upgrade;\n"),
        ),
    ),
    Fault(
        "handshake-fields-dropped",
        "no field of the client reaches the backend, Sec-WebSocket-Key among them",
        (_added("proxy_pass_request_headers off;"),),
        mending="unsafe",
    ),
    Fault(
        "handshake-request-changed",
        "the handshake is turned into a POST",
        (_added("proxy_method POST;"),),
        mending="unsafe",
    ),
    Fault(
        "upstream-scheme-mismatch",
        "https is spoken to a backend that speaks http",
        (_ws(_BACKEND, "        proxy_pass https://chat;\n"),),
        mending="advice",
    ),
    Fault(
        "upstream-unreachable",
        "nothing listens at the backend's address",
        (_ws(_BACKEND, "        proxy_pass http://127.0.0.1:1;\n"),),
        mending="advice",
    ),
    Fault(
        "missing-resolver",
        "a name in a variable, and nobody to look it up",
        (_ws(_BACKEND, "        set $backend chat.internal;\n        proxy_pass http://$backend:3000;\n"),),
        mending="advice",
    ),
    Fault(
        "wrong-proxy-module",
        "uwsgi is spoken to a backend that speaks HTTP",
        (_ws(_BACKEND, "        uwsgi_pass chat;\n        uwsgi_read_timeout 1s;\n"),),
        module="http_uwsgi",
        mending="advice",
    ),
    Fault(
        "server-name-mismatch",
        "the site has another name: the default server answers",
        (Change(SITE, "server_name localhost;", "server_name chat.example.com;"),),
        mending="advice",
    ),
    Fault(
        "config-not-included",
        "the site is not switched on: no link in sites-enabled",
        mending="advice",
        unlink=True,
    ),
    Fault(
        "tls-not-configured",
        "the port speaks no TLS, and the page asks for wss",
        (
            Change(OTHERS, "listen 127.0.0.1:PORT ssl default_server;", "listen 127.0.0.1:PORT default_server;"),
            Change(SITE, "listen 127.0.0.1:PORT ssl;", "listen 127.0.0.1:PORT;"),
        ),
        mending="advice",
    ),
    Fault(
        "proxy-protocol-mismatch",
        "nginx waits for the PROXY protocol of a load balancer that is not there",
        (Change(SITE, "listen 127.0.0.1:PORT ssl;", "listen 127.0.0.1:PORT ssl proxy_protocol;"),),
        mending="advice",
    ),
    Fault(
        "ssl-verify-client",
        "every client has to show a certificate",
        (_on_server("ssl_client_certificate tls/site.pem;\n    ssl_verify_client on;"),),
        mending="advice",
    ),
    Fault(
        "access-denied",
        "everybody is denied access",
        (_added("deny all;"),),
        mending="advice",
    ),
    Fault(
        "auth-basic",
        "a password is asked for, and browsers send none with a handshake",
        (_on_server('auth_basic "staff";\n    auth_basic_user_file passwords;'),),
        files=(("passwords", "ada:{PLAIN}lovelace\n"),),
        mending="advice",
    ),
    Fault(
        "rate-limit",
        "one connection a client: the second tab is refused",
        (
            Change(MAIN, "    include conf.d/*.conf;", "    limit_conn_zone $binary_remote_addr zone=one:1m;\n"
                   "    include conf.d/*.conf;"),
            _added("limit_conn one 1;"),
        ),
        mending="advice",
        seen="second",
    ),
    Fault(
        "no-sticky-sessions",
        "clients that poll are sent to another backend with each request",
        (Change(UPSTREAMS, "    ip_hash;\n", ""),),
        path="/socket.io/?EIO=4&transport=websocket",
        mending="unsafe",
        seen="polling",
    ),
)  # fmt: skip
"""Every fault, the commonest first."""


def faults_for(plan: Plan) -> tuple[Fault, ...]:
    """The faults that can be staged in a deployment."""
    return tuple(fault for fault in FAULTS if _fits(fault, plan))


def _fits(fault: Fault, plan: Plan) -> bool:
    has_module = not fault.module or plan.build.has_module(fault.module) is not False
    return has_module and (bool(plan.polling) or fault.seen != "polling")


def find_fault(name: str, plan: Plan) -> Fault:
    """A fault by its name.

    Raises:
        UsageError: There is none of that name, or it cannot be staged here.
    """
    known = {fault.name: fault for fault in FAULTS}
    fault = known.get(name)
    if fault is None:
        close = get_close_matches(name, known, n=1)
        remedy = f"did you mean {close[0]}?" if close else "ws101 lab list names them"
        raise UsageError(f"there is no fault {name}", help=remedy)
    if not _fits(fault, plan):
        what = f"this nginx lacks the module {fault.module}" if fault.module else "Socket.IO does not run here"
        raise UsageError(f"{name} cannot be staged: {what}", help="ws101 lab list names those that can")
    return fault


def broken_files(fault: Fault, plan: Plan) -> dict[str, str]:
    """The configuration's files with a fault in them."""
    files = site_files(plan)
    for change in fault.changes:
        files[change.file] = _changed(files[change.file], change, plan)
    return {**files, **dict(fault.files)}


def _changed(text: str, change: Change, plan: Plan) -> str:
    old = _filled(change.old, plan)
    head, anchor, tail = text.partition(change.after) if change.after else ("", "", text)
    if old not in tail:
        raise ValueError(f"{change.file}: there is no {old!r}")
    return head + anchor + tail.replace(old, _filled(change.new, plan), 1)


def _filled(text: str, plan: Plan) -> str:
    return text.replace("PORT", str(plan.port)).replace("HOST", forwarded_host(plan.build))
