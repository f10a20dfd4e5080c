"""config-syntax-error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ws101.findings import Level
from ws101.nginx.build import Build
from ws101.nginx.config import Scope
from ws101.nginx.directives import is_known, rows, third_party
from ws101.nginx.validate import Refusal
from ws101.rules.base.context import Context
from ws101.rules.base.oddities import has_odd
from ws101.rules.base.registry import Bites, Found, rule
from ws101.syntax import Directive
from ws101.text import printable

__all__ = ["check"]


@rule("WS127", "config-syntax-error", Level.ERROR, bites=Bites.START)
def check(context: Context) -> Iterator[Found]:
    """nginx refuses to read the configuration.

    A missing semicolon, a stray brace, an open quote, an include that is not there. There is no edit for this, only
    advice: what was meant is yours to say.

    Why it matters
        After a failed reload the old configuration keeps running, so nothing that was changed has an effect.

    Bad::

        # proof: refused
        # refused: unexpected "}"
        # fix: none
        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }
        }

    Good::

        events {}
        http {
            map $http_upgrade $connection_upgrade {
                default upgrade;
                ''      close;
            }
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/beginners_guide.html#conf_structure
    """
    # What only some of several versions refuse is told as not known: the files may be for the others.
    refusals = [r for r in context.shared.refusals if r.certain and len(r.builds) == len(context.builds)]
    is_misread = any(has_odd(refusal.message) for refusal in context.shared.refusals)
    for refusal in refusals:
        if _is_anothers(refusal.message) or (is_misread and refusal.line is None):
            continue
        if refusal.span.path in context.config.sources:
            said = printable(refusal.message, limit=200)
            yield Found(
                f"nginx refuses the configuration: {said}",
                refusal.span,
                help=_help(refusal),
                refused=True,
                refusal=refusal.message,
                scopes=_garbled(context, refusal.directive),
                garbled=True,
            )


def _garbled(context: Context, directive: Directive | None) -> tuple[Scope, ...]:
    """The routes in a block where one directive took in the next: what is set there cannot be told."""
    if directive is None or directive.parent is None or _unended_line(directive) is None:
        return ()
    return tuple(
        route.location
        for route in context.shared.proxied
        if any(s.opener is not None and s.opener.directive is directive.parent for s in (route.location, route.server))
    )


def _advice(refusal: Refusal) -> str:
    """What to mend, as far as the text tells."""
    directive = refusal.directive
    if refusal.message.endswith('expecting "}"'):
        return "close the block that begins here, or the one in it that was left open"
    if " is outside location " in refusal.message:
        return "close the location above it, if that was left open"
    if directive is None:
        return "mend it"
    if refusal.message.startswith('open() "'):
        return "put the file there, mend the path, or check an nginx -T dump of the machine that has it"
    if refusal.message.startswith('unknown directive "'):
        return _unknown(directive.name, refusal.builds)
    line = _unended_line(directive)
    if line is not None:
        return f"end line {line} with a semicolon, if that is what it lacks"
    homes = dict.fromkeys(home for row in rows(directive.name) for home in sorted(row.contexts))
    if refusal.message.endswith("directive is not allowed here") and homes:
        return f"move it to where it may stand ({', '.join(homes)})"
    return "mend it"


def _unknown(name: str, builds: Sequence[Build]) -> str:
    """What is known of a directive that some nginx does not know."""
    module, known = third_party(name), rows(name)
    newer = [row.since for row in known if row.since is not None and all(row.since > build.version for build in builds)]
    if newer:
        return f"nginx has it from {'.'.join(map(str, min(newer)))} on: leave it out"
    if module or known:
        return f"this nginx is without {f'the {module} module' if module else 'its module'}: leave it out"
    return "mend its name"


def _help(refusal: Refusal) -> str:
    """The whole advice."""
    advice = _advice(refusal)
    return advice if "nginx -T" in advice else f"{advice}, then nginx -t{_elsewhere(refusal)}"


def _elsewhere(refusal: Refusal) -> str:
    """What to do if another nginx than the one that was asked reads the files."""
    is_asked = any(build.arguments is not None for build in refusal.builds)
    name = refusal.directive.name if refusal.directive is not None else ""
    is_named = refusal.message.startswith('unknown directive "') and (is_known(name) or third_party(name))
    return "; or tell --nginx-version, if another nginx reads these files" if is_asked and is_named else ""


def _unended_line(directive: Directive) -> int | None:
    """The line before the one that begins with another directive's name among the arguments; None if there is none."""
    source = directive.source
    for before, word in pairwise(directive.words):
        between = source.text[before.span.end : word.span.start]
        if "\n" in between and is_known(source.text[word.span.start : word.span.end]):
            return source.line(before.span.start)
    return None


def _is_anothers(message: str) -> bool:
    """Whether another rule speaks of it: undefined variables, and characters that only look plain."""
    return has_odd(message) or (message.startswith('unknown "') and message.endswith(" variable"))
