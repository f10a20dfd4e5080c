"""Broken inputs, drawn from a seed: bytes and words of valid configurations, mixed, cut and repeated."""

from __future__ import annotations

import random
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "mutants" / "corpus"

STATEMENTS = (
    "proxy_set_header Upgrade $http_upgrade;",
    'proxy_set_header Connection "upgrade";',
    "location ~ \"^/a{2}$\" { return 200 'x;y'; }",
    "map $http_upgrade $c { default upgrade; '' close; }",
    "server { listen 127.0.0.1:80; server_name a.b *.c; }",
    'if ($a = "b") { set $x ${y}z; }',
    '# a comment; { } "\n',
    "rewrite ^/(.*)$ /$1? last;",
    "content_by_lua_block { local t = { a = '}' } -- }\n }",
    'log_format m \'$a "$b"\' "\\"\\t\\\\";',
    "include sites/*.conf;",
    "a\\;b \\{ \\\n;",
    "upstream u { server 127.0.0.1:1 weight=2; keepalive 4; }",
    "",
)
ODD = (
    *(
        "{",
        "}",
        ";",
        '"',
        "'",
        "\\",
        "#",
        "\n",
        "\r\n",
        "\t",
        " ",
        "$",
        "${",
        "(",
        ")",
        "~",
        "=",
        "\x00",
        "\x85",
        "\xa0",
    ),
    *(
        "\xff",
        "\x0c",
        "\ufeff".encode().decode("latin-1"),
        "a" * 5000,
        "{" * 60,
        "}" * 60,
        ";;",
        '""',
        "_by_lua_block {",
    ),
    *("--[[", "]]", "\\\\", '\\"', "$1", "include x;", "http {", "events {}"),
)


def configurations() -> list[dict[str, str]]:
    """Whole valid configurations: text by path."""
    texts = {str(path.relative_to(CORPUS)): path.read_text("latin-1") for path in sorted(CORPUS.rglob("*.*"))}
    mains = [name for name in texts if "/" not in name and name.endswith(".conf")]
    shared = {f"/c/{name}": text for name, text in texts.items() if name not in mains}
    return [{"/c/nginx.conf": texts[name], **shared} for name in mains]


def mutate(rng: random.Random, text: str, rounds: int) -> str:
    """Change a text a few times."""
    pick = rng.random
    for _ in range(rounds):
        size = len(text)
        at = int(pick() * (size + 1))
        kind = int(pick() * 6)
        if kind == 0:
            text = text[:at] + text[at + 1 + int(pick() * 4) :]
        elif kind == 1:
            text = text[:at] + ODD[int(pick() * len(ODD))] + text[at:]
        elif kind == 2:
            text = text[:at] + chr(int(pick() * 256)) + text[at + 1 :]
        elif kind == 3:
            text = text[:at] + STATEMENTS[int(pick() * len(STATEMENTS))] + text[at:]
        elif kind == 4:
            end = at + int(pick() * 40)
            text = text[:end] + text[at:]
        else:
            text = text[:at] if pick() < 0.5 else text[at:]
    return text
