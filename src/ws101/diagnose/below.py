"""Causes below HTTP: the name, the port, TLS, the certificate, HTTP/2 alone, the PROXY protocol, a page on https."""

from __future__ import annotations

from ws101.diagnose.base import Facts, RootCause, blame
from ws101.text import Span, lower

__all__ = ["CAUSES"]


def _message(facts: Facts) -> str:
    return facts.site.message if facts.site else ""


def mixed_content(facts: Facts) -> RootCause | None:
    """A page on https opens ws://: the browser refuses before it sends a byte."""
    page = facts.options.origin or facts.page
    if facts.endpoint.tls or not lower(page).startswith("https://") or _is_loopback(facts.endpoint.host):
        return None
    works = "the same address answers over TLS" if facts.passed("encrypted") or facts.passed("other-scheme") else ""
    return blame(
        "mixed-content-ws-on-https",
        "proven",
        "a page on https:// may not open ws://: browsers refuse it before they connect",
        f"the page is {page}, the WebSocket {facts.endpoint.scheme}://",
        works,
        help="open it with wss://, at a port of this server that has the certificate",
        by=(),
    )


def _is_loopback(host: str) -> bool:
    """Browsers take loopback for trustworthy (W3C Secure Contexts, section 3.1)."""
    return host == "localhost" or host.endswith(".localhost") or host.startswith("127.") or host == "::1"


def unreachable(facts: Facts) -> RootCause | None:
    """Nothing answers at this name and port; where another port does, that is the proof."""
    failure = facts.class_of("site")
    if failure not in ("dns", "refused", "unreachable", "timeout") or _connected(facts):
        return None
    if failure == "dns":
        message = f"the name {facts.endpoint.host} has no address"
        return blame(
            "client-wrong-public-port", "likely", message, _message(facts), help="check the name in the client's URL"
        )
    other = _answering_port(facts)
    if other is not None:
        url = facts.results[other].message
        title = f"port {other.removeprefix('port-')} opens a tunnel for the same name and path"
        return blame(
            "client-wrong-public-port",
            "proven",
            f"nothing answers at port {facts.endpoint.port}: the client's URL names the wrong port or scheme",
            title,
            url if not facts.passed(other) else "",
            help=f"use port {other.removeprefix('port-')} in the client's URL",
            by=("site", other),
        )
    message = f"nothing answers at port {facts.endpoint.port} of {facts.endpoint.host}"
    if failure == "refused" and (facts.endpoint.port, facts.endpoint.tls) in facts.ports:
        return blame(
            "client-wrong-public-port",
            "likely",
            f"{message}, where the configuration has nginx listen",
            _message(facts),
            help="does nginx run there (nginx -t, its error log), and is the port published and open in the firewall?",
        )
    offered = ", ".join(str(port) for port, _ in facts.ports)
    listed = f"the configuration offers this name at port {offered}" if offered else ""
    return blame(
        "client-wrong-public-port",
        "likely",
        message,
        _message(facts),
        listed,
        help="is the server up, is the port published and open in the firewall, and is it the one in the client's URL?",
    )


def _connected(facts: Facts) -> bool:
    """Whether a connection stood, so that the silence is HTTP's."""
    connection = facts.site.connection if facts.site else None
    return connection is not None and connection.timings.tcp is not None and bool(connection.address)


def _answering_port(facts: Facts) -> str | None:
    names = [name for name in facts.results if name.startswith("port-")]
    return next((name for name in names if facts.passed(name)), None)


def certificate(facts: Facts) -> RootCause | None:
    """A certificate that clients refuse: expired, for another name, of an unknown issuer."""
    if facts.class_of("site") != "certificate":
        return None
    tls = facts.site.connection.tls if facts.site and facts.site.connection else None
    facts_of = tls.chain[0] if tls and tls.chain else None
    shown = ""
    if facts_of is not None:
        names = ", ".join(facts_of.names[:4]) or facts_of.subject
        shown = f"the certificate is for {names}, from {facts_of.issuer}, valid until {facts_of.not_after}"
    looked_past = ""
    if "unverified" in facts.results:
        opens = "opens a tunnel" if facts.passed("unverified") else f"gets {facts.said('unverified')}"
        looked_past = f"with verification switched off the same handshake {opens}"
    return blame(
        "tls-certificate-untrusted",
        "proven",
        f"{_message(facts)}; browsers offer no way past that for wss",
        shown,
        looked_past,
        help="install a certificate that clients trust, for this name, with its intermediate certificates",
        by=("site", "unverified") if looked_past else ("site",),
    )


def client_certificate(facts: Facts) -> RootCause | None:
    """A server that wants a client certificate."""
    response = facts.response
    asked = facts.class_of("site") == "client-certificate"
    if not asked and (response is None or "No required SSL certificate was sent" not in response.body):
        return None
    message = "the server wants a client certificate, which browsers send only after the user chose one"
    help = "pass one (ws101 probe --cert FILE --key FILE), or see ssl_verify_client"
    return blame("client-certificate", "proven", message, _message(facts), help=help)


def tls_missing(facts: Facts) -> RootCause | None:
    """TLS is spoken to a port that speaks plain HTTP."""
    if not facts.endpoint.tls or facts.class_of("site") not in ("tls-plain-mismatch", "tls", "reset", "eof"):
        return None
    plain = facts.results.get("other-scheme")
    spoke = plain is not None and plain.handshake is not None and plain.handshake.response is not None
    if facts.class_of("site") != "tls-plain-mismatch" and not spoke:
        return None
    port = facts.endpoint.port
    other = _answering_port(facts)
    elsewhere = f"port {other.removeprefix('port-')} opens a tunnel" if other else ""
    seen = f"without TLS this port answers {facts.said('other-scheme')}" if spoke else _message(facts)
    return blame(
        "tls-not-configured",
        "proven" if spoke else "likely",
        f"port {port} does not speak TLS, and the client's URL is {facts.endpoint.scheme}://",
        seen,
        elsewhere,
        help=f"give the server a listener with ssl and a certificate on port {port}, or use a port that has one",
        by=("site", "other-scheme") if spoke else ("site",),
    )


def tls_wanted(facts: Facts) -> RootCause | None:
    """Plain HTTP is spoken to a port that speaks TLS."""
    if facts.endpoint.tls or facts.class_of("site") != "tls-plain-mismatch":
        return None
    over_tls = facts.results.get("other-scheme")
    from_backend = facts.failed("direct") and facts.equals("direct")
    if from_backend or (over_tls is not None and over_tls.class_ in ("tls-plain-mismatch", "tls")):
        return None  # this port speaks plain HTTP: somebody behind it does not
    seen = f"over TLS the same handshake gets {facts.said('other-scheme')}" if over_tls is not None else ""
    return blame(
        "plain-http-to-https-port",
        "proven" if over_tls is not None else "likely",
        f"port {facts.endpoint.port} speaks TLS, and the client's URL is {facts.endpoint.scheme}://",
        _message(facts),
        seen,
        help="use wss:// in the client's URL",
        by=("site", "other-scheme") if over_tls is not None else ("site",),
    )


def http2_alone(facts: Facts) -> RootCause | None:
    """A port that takes HTTP/2 alone; nginx has no WebSockets over HTTP/2 (RFC 8441)."""
    if facts.class_of("site") != "http2-only":
        return None
    return blame(
        "http2-without-rfc8441",
        "proven",
        "this port takes HTTP/2 alone, over which nginx opens no WebSockets",
        _message(facts),
        help="let the port speak HTTP/1.1 too: over TLS by ALPN; without TLS no http2 before 1.25.1",
    )


def proxy_protocol(facts: Facts) -> RootCause | None:
    """A listener that waits for the PROXY protocol closes every connection without it."""
    listener = _proxy_protocol_listener(facts)
    clue = facts.clue("proxy-protocol-mismatch")
    passed = facts.passed("proxy-protocol") or facts.status_of("proxy-protocol") is not None
    if facts.class_of("site") not in ("eof", "reset") or not (passed or clue):
        return None
    sent = f"after a header of the PROXY protocol the same handshake gets {facts.said('proxy-protocol')}"
    return blame(
        "proxy-protocol-mismatch",
        "proven" if passed else "likely",
        "the port expects the PROXY protocol, which this client, or the load balancer, does not send",
        _message(facts),
        sent if passed else "",
        f"{clue.path}: {clue.line}" if clue and clue.fresh else "",
        help="make both ends agree: the load balancer's setting, and proxy_protocol on the listener",
        by=("site", "proxy-protocol") if passed else ("site",),
        span=listener,
    )


def proxy_protocol_unwanted(facts: Facts) -> RootCause | None:
    """What stands in front begins with the PROXY protocol, and nginx takes that for a malformed request."""
    clue = facts.clue("proxy-protocol-mismatch")
    if facts.works or facts.status != 400 or not facts.by_nginx or clue is None or not clue.fresh:
        return None
    here = facts.passed("nginx-here")
    return blame(
        "proxy-protocol-mismatch",
        "proven",
        "what stands in front of nginx begins with the PROXY protocol, which this port does not expect",
        f"the live handshake gets {facts.said('site')}",
        "straight to nginx on this machine the same handshake opens a tunnel" if here else "",
        f"{clue.path}: {clue.line}",
        help="make both ends agree: proxy_protocol on the listener, or switched off in the load balancer",
        by=("site", "nginx-here") if here else ("site",),
    )


def _proxy_protocol_listener(facts: Facts) -> Span | None:
    decisions = facts.predicted.decisions if facts.predicted else ()
    found = next((d.origin for d in decisions if d.origin is not None and "PROXY protocol" in d.why), None)
    return found.span if found else None


CAUSES = (
    *(mixed_content, certificate, client_certificate, proxy_protocol, proxy_protocol_unwanted, http2_alone),
    *(tls_missing, tls_wanted, unreachable),
)
"""In the order in which a connection meets them."""
