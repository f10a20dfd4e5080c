"""The rewrite module's directives: rewrite, if, set, return, break (nginx: src/http/modules/ngx_http_rewrite_module.c).

They run in the order in which they stand, in the server block and then in the location.  An ``if`` in a location whose
condition holds switches the settings that rule to its own block, at once; the last true one wins.
"""

from __future__ import annotations

import functools

from ws101.lazy import dataclass
from ws101.nginx.build import Build
from ws101.nginx.config import Placed, Scope, Unknown
from ws101.nginx.escapes import escape_args, unescape_redirect
from ws101.nginx.readings import read
from ws101.nginx.regex import RegexError, Undecided, compile_regex
from ws101.nginx.state import State, Unanswerable
from ws101.nginx.templates import Template, parse_template
from ws101.nginx.variables import CAPTURE_CONFLICT, evaluate, evaluate_text, remember_captures, variable

__all__ = ["HANDLERS", "Returned", "is_redirect", "own_handler", "run_script"]

HANDLERS = (
    "proxy_pass",
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "grpc_pass",
    "memcached_pass",
    "tunnel_pass",
)
"""The directives that hand a request to a backend."""
_SCRIPT = frozenset(("rewrite", "return", "break", "set", "if"))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_ABSOLUTE = ("http://", "https://", "$scheme")
_FILE_TESTS = {"-f": "a file", "-d": "a directory", "-e": "anything", "-x": "an executable"}


@dataclass(frozen=True, slots=True)
class Returned:
    """An answer that the rewrite module gives: a status, and a text or a Location.

    ``text`` is None where nginx's own page answers, ``Unknown`` where only run time knows it.
    """

    status: int
    text: str | Unknown | None
    origin: Placed


def is_redirect(status: int) -> bool:
    """Whether nginx sends a return's text as the Location field."""
    return status in _REDIRECTS


def own_handler(scope: Scope) -> Placed | None:
    """The directive directly in a scope that hands requests to a backend."""
    memo = scope.memo
    if "handler" not in memo:
        found = [scope.all(name)[0] for name in HANDLERS if name in scope.index]
        memo["handler"] = _latest(scope, found) if len(found) > 1 else next(iter(found), None)
    return memo["handler"]  # type: ignore[return-value]  # the memo of this key holds nothing else


def _latest(scope: Scope, found: list[Placed]) -> Placed | None:
    """The one that nginx takes: each handler replaces the one before it."""
    return next((placed for placed in reversed(tuple(scope)) if placed in found), None)


def script(scope: Scope) -> tuple[Placed, ...]:
    """The rewrite module's directives of a scope, in order."""
    memo = scope.memo
    if "script" not in memo:
        runs = any(name in scope.index for name in _SCRIPT)
        memo["script"] = tuple([placed for placed in scope if placed.directive.name in _SCRIPT]) if runs else ()
    return memo["script"]  # type: ignore[return-value]  # the memo of this key holds nothing else


def run_script(state: State, scope: Scope) -> Returned | None:
    """Run a scope's rewrite directives; an answer, or None if the request goes on.

    Raises:
        Unanswerable: If a condition or a pattern cannot be decided.
    """
    if scope.opaque:
        raise Unanswerable(Unknown("a file that could not be read may rewrite or answer the request", scope.opaque[0]))
    first = script(scope)
    if not first:
        return None
    state.quotes = True
    pending = list(reversed(first))
    while pending:
        placed = pending.pop()
        if placed.name == "if":
            if _enter(state, placed):
                inner = placed.scope.child(placed)
                if scope.kind != "server":
                    state.scope = inner
                    state.handler = own_handler(inner) or state.handler
                pending.extend(reversed(script(inner)))
            continue
        refused = _refusal(placed.name, placed.args, state.build)
        if refused:
            raise Unanswerable(Unknown(f"nginx refuses this: {refused}", placed))
        stop, answer = _STEPS[placed.name](state, placed)
        if stop:
            return answer
    return None


_COUNTS = {"set": (2,), "break": (0,), "return": (1, 2), "rewrite": (2, 3)}


@functools.lru_cache(maxsize=4096)
def _refusal(name: str, args: tuple[str, ...], build: Build) -> str | None:
    """nginx's words about a directive that it does not take; a configuration may be looked at before it is mended."""
    if len(args) not in _COUNTS[name]:
        return f'invalid number of arguments in "{name}" directive'
    return read(name, args, build).error if args else None


Step = tuple[bool, Returned | None]


def _set(state: State, placed: Placed) -> Step:
    name, value = placed.args[0].removeprefix("$").lower(), _quoted(state, placed.args[1])
    if isinstance(value, Unknown) and (name == "args" or value is CAPTURE_CONFLICT):
        raise Unanswerable(Unknown(value.reason, placed))
    if name == "args" and isinstance(value, str):
        state.args, state.valid_unparsed_uri = value, False
    elif isinstance(value, Unknown) and value.origin is None:
        state.values[name] = Unknown(value.reason, placed)
    else:
        state.values[name] = value
    shown = value.reason if isinstance(value, Unknown) else value
    state.decide("rewrite", f"${name} = {shown}", "set", placed)
    return False, None


def _break(state: State, placed: Placed) -> Step:
    if state.uri_changed:
        state.valid_location = state.uri_changed = False
    state.decide("rewrite", "stops here", "break", placed)
    return True, None


def _return(state: State, placed: Placed) -> Step:
    args = placed.args
    if len(args) == 1 and not args[0].isdigit():
        status, text = 302, args[0]
    else:
        status, text = int(args[0]), args[1] if len(args) > 1 else ""
    state.decide("rewrite", f"answers {status}", "return", placed)
    if not text and status >= 400:
        return True, Returned(status, None, placed)
    state.discard()
    value = evaluate_text(state, text)
    if value is CAPTURE_CONFLICT:
        raise Unanswerable(Unknown(CAPTURE_CONFLICT.reason, placed))
    if isinstance(value, Unknown):
        state.wonder(value)
    return True, Returned(status, value, placed)


def _rewrite(state: State, placed: Placed) -> Step:
    pattern, replacement, *rest = placed.args
    if not _matches(state, pattern, state.uri, placed, caseless=False):
        return False, None
    flag = rest[0] if rest else ""
    redirect = flag in ("redirect", "permanent") or replacement.startswith(_ABSOLUTE)
    state.internal, state.valid_unparsed_uri = True, False
    state.uri_changed = flag != "break"
    if flag == "break":
        state.valid_location = False
    keeps_args = not replacement.endswith("?")
    template = parse_template(replacement if keeps_args else replacement[:-1], not redirect)
    if redirect:
        return True, _redirected(state, placed, template, keeps_args, 301 if flag == "permanent" else 302)
    _change_uri(state, template, keeps_args)
    stays = template.args_at is not None and not state.build.does("forgets_arguments")
    state.quotes = None if stays or state.quotes is None else False
    if not state.uri:
        return True, Returned(500, None, placed)
    state.decide("rewrite", state.uri + (f"?{state.args}" if state.args else ""), f"rewrite {pattern}", placed)
    return flag in ("last", "break"), None


def _change_uri(state: State, template: Template, keeps_args: bool) -> None:
    """The new URI and arguments (nginx: ngx_http_script_regex_end_code)."""
    cut = len(template.parts) if template.args_at is None else template.args_at
    path_template = Template(template.parts[:cut])
    path = _known(_mended(state, path_template) if state.quotes is None else evaluate(state, path_template))
    if template.args_at is not None:
        args = _known(_escaped(state, Template(template.parts[cut:])))
        state.args = f"{args}&{state.args}" if keeps_args and state.args else args
    elif not keeps_args:
        state.args = ""
    state.uri = path


def _redirected(state: State, placed: Placed, template: Template, keeps_args: bool, status: int) -> Returned:
    target = unescape_redirect(_known(_escaped(state, template)))
    if keeps_args and state.args:
        has_args = any(isinstance(part, str) and "?" in part for part in template.parts)
        target += ("&" if has_args else "?") + state.args
    state.decide("rewrite", f"redirects to {target}", "rewrite", placed)
    return Returned(status, target, placed)


def _known(value: str | Unknown) -> str:
    """A text that must be known for the request to go on."""
    if isinstance(value, Unknown):
        raise Unanswerable(value)
    return value


def _quoted(state: State, text: str) -> str | Unknown:
    """The value of an argument of ``set`` or ``if``: captures are escaped until a ``rewrite`` of the script matches.

    Source: src/http/modules/ngx_http_rewrite_module.c:ngx_http_rewrite_handler (``e->quote``),
    src/http/ngx_http_script.c:ngx_http_script_complex_value_code.
    """
    template = parse_template(text)
    if state.quotes is None:
        return _mended(state, template)
    return _escaped(state, template) if state.quotes else evaluate(state, template)


def _mended(state: State, template: Template) -> str | Unknown:
    """A value with captures after a replacement with arguments.

    Until the repair of 2026 (1.30.1, 1.31.0, and what distributions have brought back) nginx goes on escaping captures
    then, and cuts them off at the length of the unescaped text.
    """
    plain = evaluate(state, template)
    if not template.has_captures or plain == _escaped(state, template):
        return plain
    return Unknown("captures after a rewrite with arguments: what comes of them depends on a repair of 2026")


def _escaped(state: State, template: Template) -> str | Unknown:
    """A value in which captures are escaped if the client's URI was (nginx: ngx_http_script_copy_capture_code)."""
    if not template.has_captures or not (state.received.quoted_uri or state.received.plus_in_uri):
        return evaluate(state, template)
    matches = state.matches
    value = _joined(state, template)
    if state.matches == matches or isinstance(value, Unknown):
        return value
    again = _joined(state, template)
    if isinstance(again, str) and len(again) != len(value):
        return CAPTURE_CONFLICT
    return again


def _joined(state: State, template: Template) -> str | Unknown:
    """The parts of a template, captures escaped."""
    parts: list[str] = []
    for part in template.parts:
        value = evaluate(state, Template((part,)))
        if isinstance(value, Unknown):
            return value
        parts.append(escape_args(value) if isinstance(part, int) else value)
    return "".join(parts)


def _matches(state: State, pattern: str, subject: str, placed: Placed, *, caseless: bool) -> bool:
    """Search, and let ``$1`` be seen; without a match ``$1`` is empty (nginx: ngx_http_script_regex_start_code)."""
    try:
        match = compile_regex(pattern, caseless=caseless).search(subject)
    except RegexError as error:
        raise Unanswerable(Unknown(error.message, placed)) from error
    except Undecided as undecided:
        raise Unanswerable(Unknown(undecided.reason, placed)) from undecided
    if match is None:
        state.captures = None
    else:
        remember_captures(state, match)
    return match is not None


_STEPS = {"set": _set, "break": _break, "return": _return, "rewrite": _rewrite}


def _enter(state: State, placed: Placed) -> bool:
    """Whether an ``if`` holds."""
    if placed.directive is state.forced:
        return True
    words = _condition(placed)
    if not words:
        raise Unanswerable(Unknown("invalid condition", placed))
    holds = _holds(state, placed, words)
    state.decide("rewrite", "true" if holds else "false", f"if ({' '.join(words)})", placed)
    return holds


def _condition(placed: Placed) -> list[str]:
    """The words between the parentheses (nginx: ngx_http_rewrite_if_condition)."""
    words = list(placed.args)
    if not words or not words[0].startswith("(") or not words[-1].endswith(")"):
        return []
    words[0] = words[0][1:]
    words[-1] = words[-1][:-1]
    if len(words) > 1 and not words[0]:
        del words[0]
    if len(words) > 1 and not words[-1] and placed.args[-1] == ")":
        del words[-1]
    return words


def _holds(state: State, placed: Placed, words: list[str]) -> bool:
    if words[0].startswith("$"):
        value = variable(state, words[0][1:].lower())
        if isinstance(value, Unknown):
            raise Unanswerable(Unknown(value.reason, placed))
        return _compare(state, placed, value, words[1:])
    test = words[0].removeprefix("!")
    if test in _FILE_TESTS and len(words) == 2:
        name = _quoted(state, words[1])
        shown = name.reason if isinstance(name, Unknown) else name
        state.wonder(Unknown(f"whether there is {_FILE_TESTS[test]} at {shown}: taken as not there", placed))
        return words[0].startswith("!")
    raise Unanswerable(Unknown("invalid condition", placed))


def _compare(state: State, placed: Placed, value: str, rest: list[str]) -> bool:
    if not rest:
        return value not in ("", "0")
    if len(rest) != 2:
        raise Unanswerable(Unknown("invalid condition", placed))
    operator, operand = rest
    if operator in ("=", "!="):
        other = _quoted(state, operand)
        if isinstance(other, Unknown):
            raise Unanswerable(Unknown(other.reason, placed))
        return (value == other) == (operator == "=")
    if operator in ("~", "~*", "!~", "!~*"):
        matches = _matches(state, operand, value, placed, caseless=operator.endswith("*"))
        return matches != operator.startswith("!")
    raise Unanswerable(Unknown(f'unexpected "{operator}" in condition', placed))
