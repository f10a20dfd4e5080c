"""Secrets out of transcripts: what is masked, and how.

Masked are the values of Cookie, Set-Cookie, Authorization and their like, of query arguments whose name says that they
are secret, and what looks like a token among the subprotocols, where browsers have to put it because they can't set
header fields.  Names stay, so that it can be seen what was sent.
"""

from __future__ import annotations

from collections.abc import Iterable

from ws101.http1 import Headers, Request, Response
from ws101.lazy import lazy_pattern

__all__ = ["MASK", "mask", "mask_headers", "mask_request", "mask_response", "secrets_of"]

MASK = "***"
"""What stands in a secret's place."""

_ARGUMENTS = (
    "token|access_token|id_token|refresh_token|auth_token|csrf_token|auth|authorization|bearer|key|api_key|apikey|"
    "access_key|jwt|password|passwd|pass|pwd|secret|client_secret|signature|sig|x-amz-signature|x-amz-security-token|"
    "x-amz-credential|session|sessionid|session_id|sid|ticket|code|assertion|credential|credentials"
)
_ARGUMENT = lazy_pattern(rf"(?i)([?&;](?:{_ARGUMENTS})=)([^&#; \t\r\n\"'<>]+)")
_USERINFO = lazy_pattern(r"(?i)(\b[a-z][a-z0-9+.-]{0,20}://)[^/?# \t\r\n@\"'<>]{1,4096}@")
_CREDENTIALS = r"authorization|proxy-authorization"
_COOKIES = r"cookie|set-cookie"
_OTHERS = (
    "x-api-key|api-key|apikey|x-auth-token|x-access-token|x-csrf-token|x-xsrf-token|x-amz-security-token|"
    "x-goog-iap-jwt-assertion|cf-access-jwt-assertion|cf-access-client-secret|x-forwarded-access-token"
)
_LINE = lazy_pattern(
    rf"(?im)^((?:{_CREDENTIALS}|{_COOKIES}|{_OTHERS}|sec-websocket-protocol)[ \t]*:[ \t]*)"
    r"([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)"
)
_COOKIE_VALUE = lazy_pattern(r"([^=;, \t\r\n]{1,256}=)(\"[^\";]*\"|[^;]*)")
_ATTRIBUTES = lazy_pattern(r"(?i)(?:path|domain|expires|max-age|samesite)=")
_TOKEN_LIKE = lazy_pattern(
    r"(?<![^, \t\r\n])(?:eyJ[^, \t\r\n]+|(?i:[^, \t\r\n]*?bearer[.\-_][^, \t\r\n]+)"
    r"|(?=[^, \t\r\n]{24})[^, \t\r\n0-9A-Z]*[0-9A-Z][^, \t\r\n]*)"
)
_AFTER_BEARER = lazy_pattern(r"(?i)((?:^|,)[ \t]*(?:bearer|access_token|token|jwt|authorization)[ \t]*,[ \t]*)([^,]+)")


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Text of requests, responses, bodies or URLs without secrets.

    Args:
        text: Latin-1 text.
        secrets: Further values to be masked wherever they stand; those shorter than 6 characters are left alone.
    """
    if ":" in text:
        text = _LINE.sub(lambda m: m[1] + _mask_value(m[1].rstrip(": \t").lower(), m[2]), text)
    if "=" in text:
        text = _ARGUMENT.sub(rf"\1{MASK}", text)
    if "://" in text:
        text = _USERINFO.sub(rf"\1{MASK}@", text)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(secret, MASK)
    return text


def _mask_value(name: str, value: str) -> str:
    if name == "sec-websocket-protocol":
        return _TOKEN_LIKE.sub(MASK, _AFTER_BEARER.sub(rf"\1{MASK}", value))
    if name == "cookie" and "=" not in value:
        return MASK
    if name in _COOKIES.split("|"):
        return _COOKIE_VALUE.sub(lambda m: m[0] if _ATTRIBUTES.match(m[1]) else m[1] + MASK, value)
    if name in _CREDENTIALS.split("|"):
        scheme, space, _ = value.partition(" ")
        return f"{scheme}{space}{MASK}" if space else MASK
    return MASK


def mask_headers(headers: Headers, secrets: Iterable[str] = ()) -> Headers:
    """Header fields without secrets."""
    known = tuple(secrets)
    return tuple((name, mask(f"{name}: {value}", known).partition(": ")[2]) for name, value in headers)


def mask_request(request: Request) -> Request:
    """A request to be shown: secrets masked, whatever else unchanged."""
    known = secrets_of(request)
    headers = mask_headers(request.headers, known)
    return Request(request.method, mask(request.target), request.version, headers, mask(request.body, known))


def mask_response(response: Response, secrets: Iterable[str] = ()) -> Response:
    """A response to be shown: secrets masked, whatever else unchanged."""
    known = tuple(secrets)
    headers = mask_headers(response.headers, known)
    return Response(
        response.version, response.status, mask(response.reason, known), headers, mask(response.body, known)
    )


def secrets_of(request: Request) -> tuple[str, ...]:
    """The secret values of a request, so that they can be masked where a server sends them back."""
    found = {match[2] for match in _ARGUMENT.finditer(request.target)}
    for name, value in request.headers:
        lowered = name.lower()
        if lowered in _COOKIES.split("|"):
            found |= {match[2].strip('"') for match in _COOKIE_VALUE.finditer(value)} or {value}
        elif lowered in _CREDENTIALS.split("|"):
            found.add(value.partition(" ")[2] or value)
        elif lowered in _OTHERS.split("|"):
            found.add(value)
        elif lowered == "sec-websocket-protocol":
            found |= set(_TOKEN_LIKE.findall(value)) | {match[2] for match in _AFTER_BEARER.finditer(value)}
    return tuple(sorted(found))
