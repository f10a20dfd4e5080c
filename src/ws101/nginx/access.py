"""Who may pass: allow and deny, auth_basic, auth_request, satisfy, limits (nginx's preaccess and access phases)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.inherit import effective
from ws101.nginx.state import State, Unanswerable
from ws101.nginx.variables import evaluate_text
from ws101.text import lower

__all__ = ["Denied", "check_access"]

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


def check_access(state: State) -> Denied | None:
    """Run the access checks in nginx's order; what only run time knows is noted and taken as passed."""
    _note_limits(state)
    _note_third_parties(state)
    denied: Denied | None = None
    any_passes = lower(effective(state.scope, "satisfy").text or "all") == "any"
    for check in (_by_address, _by_password, _by_subrequest):
        verdict = check(state)
        if isinstance(verdict, Denied):
            if not any_passes:
                return verdict
            denied = verdict if denied is None or verdict.status == 401 or denied.status != 401 else denied
        elif verdict and any_passes:
            return None
    return denied


def _by_address(state: State) -> Denied | bool:
    """allow and deny: the first rule that matches (ngx_http_access_module)."""
    for placed in _address_rules(state.scope):
        if _matches(placed, state):
            if placed.name == "allow":
                return True
            state.decide("access", "denied", f"deny {placed.args[0]}", placed)
            return Denied(403, "access forbidden by rule", placed)
    return False


def _address_rules(scope: Scope) -> tuple[Placed, ...]:
    for level in scope.outward:
        if level.first("allow") or level.first("deny"):
            return tuple(p for p in level if p.directive.name in ("allow", "deny"))
        if level.opaque:
            raise Unanswerable(Unknown("access rules may stand in a file that could not be read", level.opaque[0]))
    return ()


def _matches(placed: Placed, state: State) -> bool:
    rule = placed.args[0] if placed.args else ""
    if rule == "all":
        return True
    if rule == "unix:":
        return state.arrival.unix is not None
    try:
        return ipaddress.ip_address(state.arrival.client) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False


def _by_password(state: State) -> Denied | bool:
    setting = effective(state.scope, "auth_basic")
    realm = evaluate_text(state, setting.text) if setting.text is not None else "off"
    if realm == "off":
        return False
    if isinstance(realm, Unknown):
        raise Unanswerable(realm)
    header = next((v for n, v in state.received.headers if lower(n) == "authorization"), "")
    if lower(header[:6]) != "basic ":
        state.decide("access", "401", "auth_basic: the request carries no credentials", setting.origin)
        return Denied(401, "no user/password was provided for basic authentication", setting.origin)
    state.wonder(Unknown("whether the password is right: taken as right", setting.origin))
    return True


def _by_subrequest(state: State) -> Denied | bool:
    setting = effective(state.scope, "auth_request")
    if setting.text is None or setting.text == "off":
        return False
    state.decide("access", "asked", f"auth_request {setting.text}", setting.origin)
    state.wonder(Unknown("what the auth_request backend answers: taken as allowed", setting.origin))
    return True


def _note_limits(state: State) -> None:
    for name in ("limit_req", "limit_conn"):
        setting = effective(state.scope, name)
        if setting.origin is not None:
            state.decide("access", "counted", f"{name} may refuse it with 503", setting.origin)


def _note_third_parties(state: State) -> None:
    for name, who in _THIRD_PARTY_GATES.items():
        setting = effective(state.scope, name)
        if setting.origin is not None and setting.text != "off":
            state.wonder(Unknown(f"{who} code decides at run time: taken as letting the request pass", setting.origin))
    waf = effective(state.scope, "modsecurity")
    if waf.text is not None and lower(waf.text) == "on":
        state.wonder(Unknown("ModSecurity decides at run time: taken as letting the request pass", waf.origin))
