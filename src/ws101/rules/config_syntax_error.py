"""config-syntax-error."""

from __future__ import annotations

from collections.abc import Iterator

from ws101.findings import Level
from ws101.rules.base.context import Context
from ws101.rules.base.registry import Bites, Found, rule

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
    for problem in context.config.problems:
        yield Found(f"nginx refuses the configuration: {problem.message}", problem.span, help="mend it, then nginx -t")
