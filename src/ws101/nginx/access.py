"""Who may pass: allow and deny, auth_basic, auth_request, satisfy, limits (nginx's preaccess and access phases).

What a scope asks is gathered once; where it asks nothing, every request passes at once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from ws101.lazy import dataclass
from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.inherit import Setting, effective, effective_all, is_on
from ws101.nginx.outcome import Outcome, Trace
from ws101.nginx.state import State, Unanswerable
from ws101.nginx.templates import Template, parse_template
from ws101.nginx.variables import CAPTURE_CONFLICT, evaluate
from ws101.text import lower

__all__ = ["Denied", "Gate", "check_access", "gate_of", "mirrored", "run_subrequest"]

Run = Callable[[State, str], Outcome]
"""Takes a request from a step to its outcome."""


_REFUSALS = frozenset((401, 403))
_THIRD_PARTY_GATES = {
    "access_by_lua_block": "Lua",
    "access_by_lua_file": "Lua",
    "access_by_lua": "Lua",
    "rewrite_by_lua_block": "Lua",
    "rewrite_by_lua_file": "Lua",
    "js_access": "njs",
    "auth_jwt": "auth_jwt",
    "auth_oidc": "auth_oidc",
}


@dataclass(frozen=True, slots=True)
class Denied:
    """nginx refuses: the status and the directive."""

    status: int
    why: str
    origin: Placed | None


@dataclass(frozen=True, slots=True)
class Gate:
    """What a scope asks of a request before it may pass.

    Args:
        any_passes: ``satisfy any``.
        rules: The allow and deny lines that count, in order.
        realm: auth_basic's value; None if it is not asked for.
        realm_origin: The auth_basic.
        subrequest: The auth_request, if it asks one.
        counted: limit_req and limit_conn: the name and the directive.
        run_time: What code decides that is no part of nginx.
        unread: An include that may hold access rules.
    """

    any_passes: bool
    rules: tuple[Placed, ...]
    realm: Template | None
    realm_origin: Placed | None
    subrequest: Setting | None
    counted: tuple[tuple[str, Placed], ...]
    run_time: tuple[Unknown, ...]
    unread: Unknown | None


def check_access(state: State, run: Run) -> Denied | None:
    """Run the access checks in nginx's order; what only run time knows is noted and taken as passed.

    Args:
        state: The request.
        run: What takes a subrequest to its outcome.
    """
    gate = gate_of(state.scope)
    if gate is None:
        return None
    for name, origin in gate.counted:
        state.decide("access", "counted", f"{name} may refuse it with 503", origin)
    if state.is_subrequest:
        return None
    for unknown in gate.run_time:
        state.wonder(unknown)
    if gate.unread is not None:
        raise Unanswerable(gate.unread)
    denied: Denied | None = None
    for check in (_by_address, _by_password, _by_subrequest):
        verdict = check(state, gate, run)
        if isinstance(verdict, Denied):
            if not gate.any_passes or verdict.status not in _REFUSALS:
                return verdict
            denied = verdict if denied is None or verdict.status == 401 or denied.status != 401 else denied
        elif verdict and gate.any_passes:
            return None
    return denied


def gate_of(scope: Scope) -> Gate | None:
    """The gate of a scope; None where it stands open."""
    memo = scope.memo
    if "gate" not in memo:
        memo["gate"] = _gathered(scope)
    return memo["gate"]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _gathered(scope: Scope) -> Gate | None:
    rules, unread = _address_rules(scope)
    realm = effective(scope, "auth_basic")
    subrequest = effective(scope, "auth_request")
    gate = Gate(
        lower(effective(scope, "satisfy").text or "all") == "any",
        rules,
        None if realm.text is None else parse_template(realm.text),
        realm.origin,
        subrequest if subrequest.text not in (None, "off") else None,
        tuple((name, origin) for name in ("limit_req", "limit_conn") if (origin := effective(scope, name).origin)),
        _third_parties(scope),
        unread,
    )
    asks = gate.rules or gate.realm or gate.subrequest or gate.counted or gate.run_time or gate.unread
    return gate if asks else None


def _address_rules(scope: Scope) -> tuple[tuple[Placed, ...], Unknown | None]:
    """The allow and deny lines of the innermost level that has any."""
    for level in scope.outward:
        if level.all("allow") or level.all("deny"):
            return tuple(placed for placed in level if placed.directive.name in ("allow", "deny")), None
        if level.opaque:
            return (), Unknown("access rules may stand in a file that could not be read", level.opaque[0])
    return (), None


def _third_parties(scope: Scope) -> tuple[Unknown, ...]:
    found: list[Unknown] = []
    for name, who in _THIRD_PARTY_GATES.items():
        setting = effective(scope, name)
        if setting.origin is not None and setting.text != "off":
            found.append(Unknown(f"{who} code decides at run time: taken as letting the request pass", setting.origin))
    waf = effective(scope, "modsecurity")
    if waf.text is not None and lower(waf.text) == "on":
        found.append(Unknown("ModSecurity decides at run time: taken as letting the request pass", waf.origin))
    return tuple(found)


def _by_address(state: State, gate: Gate, _run: Run) -> Denied | bool:
    """allow and deny: the first rule that matches (ngx_http_access_module)."""
    for placed in gate.rules:
        if _matches(placed, state):
            if placed.name == "allow":
                return True
            state.decide("access", "denied", f"deny {placed.args[0]}", placed)
            return Denied(403, "access forbidden by rule", placed)
    return False


def _matches(placed: Placed, state: State) -> bool:
    rule = placed.args[0] if placed.args else ""
    if rule == "all":
        return True
    if rule == "unix:":
        return state.client == "unix:"
    if isinstance(state.client, Unknown):
        raise Unanswerable(state.client)
    try:
        return ipaddress.ip_address(state.client) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False


def _by_password(state: State, gate: Gate, _run: Run) -> Denied | bool:
    realm = evaluate(state, gate.realm) if gate.realm is not None else "off"
    if realm == "off":
        return False
    if isinstance(realm, Unknown):
        raise Unanswerable(realm)
    header = next((line.value for line in state.received.lines if line.key == "authorization"), "")
    if lower(header[:6]) != "basic ":
        state.decide("access", "401", "auth_basic: the request carries no credentials", gate.realm_origin)
        return Denied(401, "no user/password was provided for basic authentication", gate.realm_origin)
    state.wonder(Unknown("whether the password is right: taken as right", gate.realm_origin))
    return True


def _by_subrequest(state: State, gate: Gate, run: Run) -> Denied | bool:
    """auth_request: 2xx lets the request pass, 401 and 403 refuse it, all else is 500."""
    if gate.subrequest is None:
        return False
    origin = gate.subrequest.origin
    state.decide("access", "asked", f"auth_request {gate.subrequest.text}", origin)
    inner = state.subrequest(gate.subrequest.text or "", "", "GET", has_body=False)
    outcome = run_subrequest(state, inner, run)
    if outcome.forwarded is not None and CAPTURE_CONFLICT in outcome.forwarded.unknown:
        raise Unanswerable(Unknown(CAPTURE_CONFLICT.reason, origin))
    if outcome.kind == "closed":
        return Denied(444, "the subrequest of auth_request closes the connection", origin)
    if outcome.kind == "static" or (outcome.kind == "unknown" and outcome.status is None):
        raise Unanswerable(Unknown("whether auth_request lets it pass: its answer is not known", origin))
    if outcome.status is None:
        state.wonder(Unknown("what the auth_request backend answers: taken as allowed", origin))
        return True
    if outcome.status in _REFUSALS:
        return Denied(outcome.status, f"auth_request got {outcome.status}", origin)
    if not 200 <= outcome.status < 300:
        return Denied(500, f"auth request unexpected status: {outcome.status}", origin)
    return True


def run_subrequest(state: State, inner: State, run: Run) -> Outcome:
    """Run a subrequest and note what came of it."""
    outcome = run(inner, "server_rewrite")
    state.subrequests.append(Trace(state.arrival, tuple(inner.steps), outcome, tuple(inner.unknown)))
    return outcome


def mirrored(state: State, body_too_long: Callable[[State], bool]) -> Denied | None:
    """Make the copies of ``mirror`` (nginx: ngx_http_mirror_module); a body that is copied is read first."""
    if state.is_subrequest or not state.config.uses("mirror"):
        return None
    copies = effective_all(state.scope, "mirror")
    if isinstance(copies, Unknown):
        state.wonder(copies)
        return None
    if not copies or any(placed.args[:1] == ("off",) for placed in copies):
        return None
    with_body = is_on(effective(state.scope, "mirror_request_body"), True) is True
    if with_body:
        if body_too_long(state):
            return Denied(413, "client intended to send too large chunked body", copies[0])
        state.body_was_read = True
    for placed in copies:
        state.decide("content", "copied", f"mirror {placed.args[0]}", placed)
        state.copies.append(state.subrequest(placed.args[0], state.args, state.method, has_body=with_body))
    return None
