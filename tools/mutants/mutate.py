"""Small faults in valid configurations, drawn from a seed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from ws101.lexer import tokens
from ws101.text import Source

CORPUS = Path(__file__).parent / "corpus"
MAINS = ("chat.conf", "rewrites.conf", "nested.conf")
_VALUES = (
    *("on", "off", "0", "1", "-1", "2", "1k", "1g", "1s", "1ms", "1y", "1h30m", "30m1h", "0.5", "99999"),
    *("default", "x", "$host", "$nosuch", "$", "a$", "${host", "${uri}", "$1", "~(", "~", "=", "^~", "~*"),
    *("@x", "/", "/ws", "http://", "http://u", "https://127.0.0.1:1/", "ws://x", "127.0.0.1:80", "127.0.0.1:99999"),
    *("unix:/s", "127.0.0.1:18080", "default_server", "always", "last", "404", "999", "1000", "=404", '""'),
    *("''", '"a', 'b"', "(", ")", "($host)", "==", "!=", "&&", "last;", "{", "}", ";", "#", "\\", '"', "'"),
)
_BYTES = " \t\r\n;{}#\"'\\$=~()*/:.,-_aZ09@|[]^\x00\x80\xa0\xff"


class Mutant(NamedTuple):
    """A configuration of several files, one of them changed."""

    main: str
    changed: str
    text: str
    how: str


class _Pool(NamedTuple):
    """What mutations draw from."""

    rng: random.Random
    words: list[str]
    names: list[str]


def load() -> dict[str, str]:
    """The corpus: text by path."""
    files = (path for path in sorted(CORPUS.rglob("*")) if path.is_file())
    return {str(path.relative_to(CORPUS)): path.read_text("latin-1") for path in files}


def belongs_to(main: str, files: dict[str, str]) -> tuple[str, ...]:
    """The files that one main file loads."""
    if main == "nested.conf":
        return (main, "events.inc", *(name for name in files if name.startswith("parts/")))
    return (main, "targets.map") if main == "rewrites.conf" else (main,)


def draw(seed: int, count: int) -> list[Mutant]:
    """Mutants; the same for the same seed."""
    rng = random.Random(seed)
    files = load()
    words = sorted({word for text in files.values() for word in _words(text)})
    pool = _Pool(rng, words, _directive_names())
    found: list[Mutant] = []
    while len(found) < count:
        main = rng.choice(MAINS)
        changed = rng.choice(belongs_to(main, files))
        how, mutation = rng.choice(_MUTATIONS)
        text = files[changed]
        for _ in range(1 if rng.random() < 0.9 else 2):
            text = mutation(pool, text) if text else text
        if text != files[changed]:
            found.append(Mutant(main, changed, text, how))
    return found


def _directive_names() -> list[str]:
    names = (
        "listen server location proxy_pass proxy_set_header proxy_read_timeout return rewrite set if break root alias "
    )
    names += "map upstream types include http events internal try_files error_page keepalive ip_hash proxy_buffering "
    names += (
        "add_header access_log client_max_body_size server_name http2 nosuch Server proxy_psas worker_processes ssl "
    )
    names += "worker_processes ssl more_set_headers echo lua_package_path "
    names += "js_import stub_status stream limit_except send_timeout max_headers "
    return names.split()


def _tokens(text: str) -> list[tuple[str, int, int]]:
    return [token for token in tokens(Source("x", text)) if token[0] not in ("blank", "comment")]


def _words(text: str) -> list[str]:
    return [text[start:end] for kind, start, end in _tokens(text) if kind in ("word", "quoted")]


def _one(rng: random.Random, text: str, *kinds: str) -> tuple[int, int]:
    found = [token for token in _tokens(text) if not kinds or token[0] in kinds]
    return rng.choice(found)[1:] if found else (0, 0)


def _delete_token(pool: _Pool, text: str) -> str:
    start, end = _one(pool.rng, text)
    return text[:start] + text[end:]


def _repeat_token(pool: _Pool, text: str) -> str:
    start, end = _one(pool.rng, text)
    return text[:end] + pool.rng.choice((" ", "", "\n")) + text[start:]


def _swap_tokens(pool: _Pool, text: str) -> str:
    found = _tokens(text)
    at = pool.rng.randrange(max(1, len(found) - 1))
    (_, a, b), (_, c, d) = found[at], found[min(at + 1, len(found) - 1)]
    return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:] if b <= c else text


def _cut_token(pool: _Pool, text: str) -> str:
    start, end = _one(pool.rng, text, "word", "quoted")
    if end - start < 2:
        return text
    cut = pool.rng.randrange(start + 1, end)
    return text[:cut] + text[end:] if pool.rng.random() < 0.5 else text[:start] + text[cut:]


def _other_word(pool: _Pool, text: str) -> str:
    start, end = _one(pool.rng, text, "word", "quoted")
    return text[:start] + pool.rng.choice(pool.words) + text[end:]


def _odd_value(pool: _Pool, text: str) -> str:
    start, end = _one(pool.rng, text, "word", "quoted")
    return text[:start] + pool.rng.choice(_VALUES) + text[end:]


def _more_words(pool: _Pool, text: str) -> str:
    _, end = _one(pool.rng, text, "word", "quoted")
    return f"{text[:end]} {pool.rng.choice((*_VALUES, pool.rng.choice(pool.words)))}{text[end:]}"


def _delete_byte(pool: _Pool, text: str) -> str:
    at = pool.rng.randrange(len(text))
    return text[:at] + text[at + 1 :]


def _insert_byte(pool: _Pool, text: str) -> str:
    at = pool.rng.randrange(len(text) + 1)
    return text[:at] + pool.rng.choice(_BYTES) + text[at:]


def _replace_byte(pool: _Pool, text: str) -> str:
    at = pool.rng.randrange(len(text))
    return text[:at] + pool.rng.choice(_BYTES) + text[at + 1 :]


def _cut_file(pool: _Pool, text: str) -> str:
    at = pool.rng.randrange(len(text))
    return text[:at] if pool.rng.random() < 0.7 else text[at:]


def _statements(text: str) -> list[tuple[int, int]]:
    """Where the simple directives stand."""
    found: list[tuple[int, int]] = []
    start = -1
    for kind, at, end in _tokens(text):
        if kind == ";" and start >= 0:
            found.append((start, end))
        start = -1 if kind in (";", "{", "}") else start if start >= 0 else at
    return found


def _delete_line(pool: _Pool, text: str) -> str:
    found = _statements(text)
    start, end = pool.rng.choice(found) if found else (0, 0)
    return text[:start] + text[end:]


def _repeat_line(pool: _Pool, text: str) -> str:
    found = _statements(text)
    start, end = pool.rng.choice(found) if found else (0, 0)
    return f"{text[:end]} {text[start:end]}{text[end:]}"


def _move_line(pool: _Pool, text: str) -> str:
    found = _statements(text)
    if len(found) < 2:
        return text
    (a, b), (_, d) = pool.rng.choice(found), pool.rng.choice(found)
    return f"{text[:d]}\n{text[a:b]}{text[d:]}"


def _repeat_block(pool: _Pool, text: str) -> str:
    stack: list[int] = []
    blocks: list[tuple[int, int]] = []
    start = -1
    for kind, at, end in _tokens(text):
        if kind == "{":
            stack.append(start)
        elif kind == "}" and stack:
            blocks.append((stack.pop(), end))
        start = -1 if kind in (";", "{", "}") else start if start >= 0 else at
    usable = [(a, b) for a, b in blocks if a >= 0]
    if not usable:
        return text
    (a, b), (_, d) = pool.rng.choice(usable), pool.rng.choice(usable)
    return f"{text[:d]}\n{text[a:b]}{text[d:]}"


def _rename(pool: _Pool, text: str) -> str:
    found = _statements(text)
    start, end = pool.rng.choice(found) if found else (0, 0)
    stop = next((token[2] for token in _tokens(text[start:end])), 0) + start
    return text[:start] + pool.rng.choice(pool.names) + text[stop:]


_MUTATIONS = tuple(
    (function.__name__.strip("_"), function)
    for function in (
        *(_delete_token, _repeat_token, _swap_tokens, _cut_token, _other_word, _odd_value, _more_words, _delete_byte),
        *(_insert_byte, _replace_byte, _cut_file, _delete_line, _repeat_line, _move_line, _repeat_block, _rename),
    )
)
