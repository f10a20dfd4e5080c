"""invisible-characters."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Fix, Level
from ws101.rules.base.aims import Aim
from ws101.rules.base.context import Context
from ws101.rules.base.oddities import clean, names_of, odd_words
from ws101.rules.base.registry import Bites, Found, rule
from ws101.syntax import Directive, Word
from ws101.text import Edit

__all__ = ["check"]


@rule("WS132", "invisible-characters", Level.ERROR, bites=Bites.START)
def check(context: Context) -> Iterator[Found]:
    """A character that looks like a blank, a quote or nothing at all is part of a word.

    No-break spaces, typographic quotes, zero-width characters and byte order marks come with text that was copied from
    a web page or passed through an editor. For nginx they are ordinary letters.

    Why it matters
        In a directive's name nginx refuses the configuration. In a value it accepts it, and sends a header field that
        no backend understands, while everything looks right.

    Bad::

        events {}
        http {
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection “upgrade”;
                    proxy_read_timeout 1h;
                }
            }
        }

    Good::

        events {}
        http {
            server {
                listen 80;
                location /ws {
                    proxy_pass http://127.0.0.1:3000;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection "upgrade";
                    proxy_read_timeout 1h;
                }
            }
        }

    References
        https://nginx.org/en/docs/beginners_guide.html#conf_structure
    """
    losers: dict[Directive, list[Aim]] = {}
    for aim, *faults in context.header_faults:
        for directive in {fault.origin.directive for fault in faults if fault.origin is not None}:
            losers.setdefault(directive, []).append(aim)
    for tree in context.config.trees.values():
        for directive, word in odd_words(tree):
            what = ", ".join(names_of(word.value))
            is_name = word.span.start == directive.start
            place = "its name" if is_name else "a value"
            yield Found(
                f"{place} holds what nginx takes for letters: {what}",
                word.span,
                scopes=tuple(aim.scope for aim in losers.get(directive, ())),
                fix=Fix("write plain characters", (_plain(word, directive.source.text),)),
                refused=is_name,
            )


def _plain(word: Word, text: str) -> Edit:
    return Edit(word.span, clean(text[word.span.start : word.span.end]))
