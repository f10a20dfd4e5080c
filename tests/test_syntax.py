"""syntax.py reads what nginx reads, refuses what nginx refuses, and accounts for every byte."""

from __future__ import annotations

import gc
import random
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nginx_oracle import Said, nginx_t_all
from ws101.host.binary import NginxBinary
from ws101.lexer import BUFFER
from ws101.syntax import (
    MAX_PROBLEMS,
    Directive,
    Tree,
    comments,
    looks_like_dump,
    parse,
    parse_dump,
    tokens,
    trailing_comment,
)
from ws101.text import Source


def tree_of(text: str) -> Tree:
    """The parsed text."""
    return parse(Source("nginx.conf", text))


def first(text: str) -> Directive:
    """The first directive of a text."""
    return tree_of(text).directives[0]


def said(text: str) -> list[str]:
    """The problems' messages."""
    return [problem.message for problem in tree_of(text).problems]


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("a b \"c d\" 'e f' ;", ("b", "c d", "e f")),
        ("a;", ()),
        ("a '' \"\";", ("", "")),
        ('a b"c"d;', ('b"c"d',)),
        ("a b#c ;", ("b#c",)),
        ("a b}c;", ("b}c",)),
        ("a ${b}c{d ;", None),
        ("a ${b}c;", ("${b}c",)),
        ("a ${{{b}c;", ("${{{b}c",)),
        (r"a \;\{\  b;", (r"\;\{\ ", "b")),
        (r'a "\"\\\t\r\n\.\$";', ('"\\\t\r\n\\.\\$',)),
        (r"a b\"c\'d\\e;", ("b\"c'd\\e",)),
        ('a "b\nc;{}#\n";', ("b\nc;{}#\n",)),
        ("a # x ; y\n b # }\n;", ("b",)),
        ('if ($a = "b") {}', ("($a", "=", "b", ")")),
        ("a \xa0 \x85b\x0c;", ("\xa0", "\x85b\x0c")),
        ("\xef\xbb\xbfa b;", ("b",)),
        ("a b\r\n\tc;", ("b", "c")),
        (r"a b\\;", ("b\\",)),
        (r'a "b\\";', ("b\\",)),
    ],
)
def test_words_have_the_values_nginx_sees(text: str, args: tuple[str, ...] | None) -> None:
    directive = first(text)
    if args is None:
        assert directive.block is not None, "the brace after c opens a block"
        return
    assert directive.args == args
    assert tuple(word.value for word in directive.words[1:]) == args
    assert not [p for p in tree_of(text).problems if "expecting" not in p.message]


def test_words_know_their_place_and_their_quote() -> None:
    text = "\n 'a b' \"c\" # x\n d;"
    words = first(text).words
    assert [(text[w.span.start : w.span.end], w.value, w.quote) for w in words] == [
        ("'a b'", "a b", "'"),
        ('"c"', "c", '"'),
        ("d", "d", ""),
    ]


def test_a_directive_knows_its_places() -> None:
    text = "http {\n  server { # s\n    listen 80;\n  } # end\n}\n"
    http = first(text)
    server = (http.block or [])[0]
    listen = (server.block or [])[0]
    assert (http.line, server.line, listen.line) == (1, 2, 3)
    assert [d.parent for d in (listen, server, http)] == [server, http, None]
    assert text[listen.span.start : listen.span.end] == "listen 80;"
    assert text[listen.head_span.start : listen.head_span.end] == "listen 80"
    assert text[server.span.start : server.span.end].startswith("server {")
    assert text[server.block_start] + text[server.block_end] == "{}"
    assert text[http.block_end :] == "}\n"
    assert (listen.stop_line, listen.closed, listen.terminated) == (3, True, True)
    with pytest.raises(ValueError, match="no block"):
        assert listen.block_start
    trailing = trailing_comment(server)
    assert trailing is not None
    assert text[trailing.start : trailing.end] == "# s"
    assert trailing_comment(listen) is None
    assert "listen nginx.conf:3" in repr(listen)


def test_comments_are_found_and_what_only_looks_like_one_is_not() -> None:
    text = "# one\na b#c '#d' # two\n;\r\n# three\r\n'x\n# y';access_by_lua_block { # z\n}"
    source = Source("x", text)
    assert [text[s.start : s.end] for s in comments(source)] == ["# one", "# two", "# three\r"]
    assert [text[s.start : s.end] for s in comments(source, "two")] == ["# two"]
    assert not list(comments(source, "nowhere"))


def test_names_of_map_entries_are_just_names() -> None:
    block = first("map $a $b {\n default 1;\n ~^/x{2} 3;\n '' 4;\n \"~ y\" 5;\n include 6;\n}").block
    assert [(d.name, d.args) for d in block or []][:1] == [("default", ("1",))]
    assert (first("map $a $b { '' 4; }").block or [])[0].name == ""


# --- Lua --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        " local x = {} ",
        ' local x = "}" ',
        " local x = '\\'}' ",
        " -- }\n ",
        " --[[ } ]] ",
        " --[==[ } ]] } ]==] ",
        " local x = [[ } ]] ",
        " local x = [=[ ]] } ]=] ",
        " if a[b[1]] then return { { } } end ",
        "",
        "\n# not a comment in Lua { }\n",
    ],
)
def test_a_lua_block_is_opaque(code: str) -> None:
    tree = tree_of(f"http {{ access_by_lua_block {{{code}}} a 1; }}")
    lua, after = tree.directives[0].block or []
    assert not tree.problems
    assert (lua.raw_block, lua.block, after.name) == (code, [], "a")
    assert after.raw_block is None


def test_a_lua_block_that_does_not_end_is_a_problem() -> None:
    assert said("set_by_lua_block $a { [[ }") == ['unexpected end of file, expecting "}"']
    assert first("set_by_lua_block $a { return 1 }").args == ("$a",)


# --- nginx's own words ------------------------------------------------------------------------------------------------

HEAD = "events {}\nhttp {\n"

MALFORMED = [
    "types { a b; }\n}",
    "}",
    "",
    ";",
    "{",
    "types {\n{ }\n}\n}",
    "types {\n;\n}\n}",
    'types { a "b"c; }\n}',
    'types { a "b"; }\n}',
    'types { a "b"}\n}',
    "types { a 'b'} \n}",
    'types { a "b"#c\n; }\n}',
    "types { a \"b\"'c'; }\n}",
    'types { a "b""c"; }\n}',
    'types { a "b"\xe9; }\n}',
    'types { "a"b; }\n}',
    'types { "a"}\n}',
    'types { "a"\n}\n}',
    "types { a b }\n}",
    "types { a b}\n; }\n}",
    "types { a\n\n\n}\n}",
    "types { a b; } }\n}",
    "types { a b; }\n}\n}",
    "types { a b; }\n}\n\n  # x\n  }\n",
    "types { a b;\n",
    "types { a b;",
    "types { a b",
    "types { a ",
    "types { a",
    "types { 'a",
    'types { "a b; }\n}\n',
    "types { a 'b; }\n}\n",
    'types { a "b\\"; }\n}\n',
    "types { a b; }\n} a",
    "types { a b; }\n} a # c",
    "types { a b; }\n}\n# c",
    "types { a b; }\n}\n'",
    "types { a b; }\n}\n\\",
    "types { a b\\; }\n}",
    "types { a b\\\n; }\n}",
    "types { a b\\}; }\n}",
    "types { \\ a; }\n}",
    "types { \\} a; }\n}",
    "types { a ${b}; }\n}",
    "types { a ${b; }\n}",
    "types { a $; }\n}",
    "types { a $\n; }\n}",
    "types { a b$ {} }\n}",
    "types { a b${ ; }\n}",
    "types { a b$\\{ ; }\n}",
    "types { a $${ ; }\n}",
    "types { a \\${ ; }\n}",
    'types { a $"{ ; }\n}',
    'types { a "$"{ ; }\n}',
    "types { a b{ } }\n}",
    "types { a {\n\n} }\n}",
    "types {\n a\n b\n c\n {\n} }\n}",
    'types { a "b"{ } }\n}',
    'types { a ("b"); }\n}',
    'types { a "b")c; }\n}',
    'types { a "b")"c"; }\n}',
    'types { a "b"); }\n}',
    "types { a 'b' ) ; }\n}",
    "types { ) a; }\n}",
    "types { #a; }\n}",
    "types { a#b; }\n}",
    "types { a #b;\n c; }\n}",
    "types { a b;#c }\n}\n}",
    "types {#c }\n}\n}",
    "types { a 'b\n\n\nc'd; }\n}",
    'types { a "b\nc\n\nd"\n\n}\n}',
    'types { a "b\nc\n\nd\n\n}\n}',
    "types { a b;\r\n\r\n} }\r\n\r\n}\r\n",
    "types { a b\r\n\r\n}",
    "types { a \xa0b\x85\x0c\x0b; }\n}",
    "types { \x00 a\x00b; }\n}",
    'types { a "\x00"\x00; }\n}',
    "types { '' ''; }\n}",
    "types { a ''''; }\n}",
    "types { a '' ' '' ; }\n}",
    "types { a '\\'' \"\\\"\"; } ; \n}",
    "types { a '\\\\''; }\n}",
    "types { a \\'b' \\\"c\"; }\n}",
    "types { a };b }\n}",
    "types { a b};c }; }\n}",
    "types { a b ;; }\n}",
    "types ;",
    "types { a b; };\n}",
    "types\n{\na\nb\n;\n}\n}\n;",
    "types { a b } # c",
    "types { a b; } server {\n\n listen 'x\n;}",
]


def long_inputs() -> list[str]:
    """Words and comments about as long as nginx's buffer."""
    texts = []
    for size in (BUFFER - 2, BUFFER - 1, BUFFER, BUFFER + 1):
        for tail in (";", " ;", "\n\n;", "{", ")", ") ;", "\n}"):
            texts += [f"types {{ a {'x' * size}{tail} }}\n}}", f"types {{\n a '{'y' * size}'{tail} }}\n}}"]
        texts += [
            f"types {{ a b;\n#{'z' * size}\n}}\n}}",
            f"types {{ a b; }}\n}}\n#{'z' * size}",
            f"types {{ a b; }}\n}}\n#{'z' * size}\n",
            f"types {{ a b; }}\n}}\n {'z' * size}",
            f"types {{ a b; }}\n}}\n '{'z' * size}",
            f"types {{ a b; }}\n}}\n '{'z' * size}'",
            f"types {{ a b; }}\n}}\n '{'z' * size}\n'",
            f'types {{ a "{"x" * 10 + chr(10)}{"y" * size}"; }}\n}}',
            f"types {{ a 'b' {' ' * size}; }}\n}}",
        ]
    return texts


def predicted(text: str) -> Said:
    """The first thing nginx must refuse in a text whose only valid directives are types blocks."""
    tree = tree_of(text)
    found = [(p.offset, p.message, p.line) for p in tree.problems[:1]]
    for directive in tree.walk():
        in_types = directive.parent is not None and directive.parent.name == "types"
        if in_types and directive.block is not None and directive.terminated:
            found.append((directive.head_stop, 'unexpected "{"', directive.stop_line))
        elif not in_types and directive.terminated and directive.name not in {"events", "http", "server", "types"}:
            found.append(
                (directive.head_stop, f'unknown directive "{directive.name.split(chr(0))[0]}"', directive.stop_line)
            )
        elif directive.name == "types" and directive.block is None and directive.terminated:
            found.append((directive.head_stop, 'directive "types" has no opening "{"', directive.stop_line))
    return min(found)[1:] if found else None


def disagreements(binary: NginxBinary, folder: Path, texts: list[str]) -> list[tuple[str, Said, Said]]:
    """Where nginx says something else than we."""
    results = zip(texts, nginx_t_all(binary, folder, texts), strict=True)
    return [(text[:200], nginx, ours) for text, nginx in results for ours in (predicted(text),) if nginx != ours]


def test_the_first_problem_is_nginx_s_own_in_words_and_line(binary: NginxBinary, tmp_path: Path) -> None:
    assert len(MALFORMED) >= 90
    assert not disagreements(binary, tmp_path, [HEAD + text for text in MALFORMED])


def test_too_long_words_and_comments_are_measured_as_nginx_measures_them(binary: NginxBinary, tmp_path: Path) -> None:
    assert not disagreements(binary, tmp_path, [HEAD + text for text in long_inputs()])


def test_random_texts_are_refused_as_nginx_refuses_them(binary: NginxBinary, tmp_path: Path) -> None:
    dice = random.Random(101)
    pieces = [
        "a",
        "b",
        " ",
        " ",
        "\n",
        ";",
        ";",
        "{",
        "}",
        '"',
        "'",
        "\\",
        "$",
        "#",
        ")",
        "\r\n",
        "\t",
        "\xff",
        "${",
        "x y;",
    ]
    texts = [
        f"{HEAD}types {{\n{''.join(dice.choice(pieces) for _ in range(dice.randrange(1, 14)))}\n}}\n}}\n"
        for _ in range(400)
    ]
    assert not disagreements(binary, tmp_path, texts)


# --- properties -------------------------------------------------------------------------------------------------------

PIECES = ["a", "bc", " ", "\n", "\r\n", "\t", ";", "{", "}", '"', "'", "\\", "$", "${", "#", ")", "\xff"]
PIECES += ["x_by_lua_block{", "[[", "]]", "--", "a b;", "c {", "}\n", "\x00", "'d' "]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(
    st.characters(max_codepoint=255), max_size=60
)


@given(TEXTS)
@settings(max_examples=1000)
def test_the_tokens_cover_every_byte_of_any_text(text: str) -> None:
    at = 0
    for token in tokens(Source("x", text)):
        assert token.start == at < token.end
        at = token.end
    assert at == len(text)


def described(directives: list[Directive]) -> list[object]:
    """All that can be asked of directives, nested."""
    return [
        (d.name, d.args, d.words, d.span, d.head_stop, d.terminated, d.closed, d.line, d.raw_block)
        + (() if d.block is None else (d.block_start, d.block_end, described(d.block)))
        for d in directives
    ]


@given(TEXTS)
@settings(max_examples=1000)
def test_the_tree_holds_each_word_of_the_text_once_and_in_order(text: str) -> None:
    tree = tree_of(text)
    spans = [word.span for directive in tree.walk() for word in directive.words]
    expected = [(t.start, t.end) for t in tokens(tree.source) if t.kind in ("word", "quoted", "open")]
    assert [(span.start, span.end) for span in spans] == expected
    for directive in tree.walk():
        assert directive.args == tuple(word.value for word in directive.words[1:])
        assert directive.name == directive.words[0].value
        assert directive.start < directive.args_start <= directive.head_stop <= directive.end <= len(text)
        if directive.parent is not None and directive.parent.block is not None:
            assert any(directive is child for child in directive.parent.block)
            assert directive.parent.start < directive.start
            assert directive.end <= directive.parent.end
        if directive.closed:
            assert text[directive.end - 1] == (";" if directive.block is None else "}")


@given(TEXTS, st.integers(0, 60))
@settings(max_examples=1000)
def test_the_fast_reader_and_the_tolerant_one_agree(text: str, padding: int) -> None:
    # An error at the start sends the parser to the tolerant reader for the rest of the window.
    tolerant, fast = tree_of("\n" * padding + ";\n" + text), tree_of("\n" * padding + " \n" + text)
    assert described(fast.directives) == described(tolerant.directives)
    assert fast.problems == tolerant.problems[1:]


@given(TEXTS, st.sampled_from(["#", "a", "\xff"]))
@settings(max_examples=500)
def test_comments_are_the_comment_tokens_that_hold_a_string(text: str, containing: str) -> None:
    source = Source("x", text)
    expected = [(t.start, t.end) for t in tokens(source) if t.kind == "comment" and containing in text[t.start : t.end]]
    assert [(span.start, span.end) for span in comments(source, containing)] == expected


@given(TEXTS)
@settings(max_examples=500)
def test_problems_point_into_the_text(text: str) -> None:
    tree = tree_of(text)
    for problem in tree.problems:
        assert 0 <= problem.span.start <= problem.span.end <= len(text)
        assert 1 <= problem.line <= text.count("\n") + 1
        assert problem.message


# --- size and time ----------------------------------------------------------------------------------------------------

MEGABYTES = 1
SIZE = MEGABYTES * 1_000_000

HUGE = {
    "one line": "a b; " * (SIZE // 5),
    "no semicolon": "word " * (SIZE // 5),
    "no semicolon, lines": "word\n" * (SIZE // 5),
    "one word": "x" * SIZE,
    "one comment": "#" * SIZE,
    "comments": "# c\n" * (SIZE // 4),
    "quotes": '"\n' * (SIZE // 2),
    "open quotes, escaped": '"\\\n' * (SIZE // 3),
    "quotes of both kinds": "\"'\n" * (SIZE // 3),
    "far quotes": ('"' + "x" * 5000 + "\n") * (SIZE // 5002),
    "far quotes, no semicolon": ("a b\n'" + "x" * 4090 + "\n") * (SIZE // 4096),
    "errors": "a }\n" * (SIZE // 4),
    "closing": "}" * (SIZE // 3),
    "semicolons": ";" * (SIZE // 3),
    "braces": "{" * (SIZE // 3),
    "deep": "a{" * (SIZE // 6),
    "deep and closed": "a{" * 100_000 + "}" * 100_000,
    "backslashes": "\\" * SIZE,
    "dollars": "${" * (SIZE // 2),
    "Lua, open": "x_by_lua_block {" + "--[[\n" * (SIZE // 5),
    "many open Lua blocks": "x_by_lua_block { [[ \n" * (SIZE // 20),
    "blanks": " \n" * (SIZE // 2),
    "blanks in a statement": "a" + " \n" * (SIZE // 2),
    "long values": ("a '" + "y" * 6000 + "';\n") * (SIZE // 6006),
}


@pytest.mark.parametrize("kind", HUGE)
def test_every_input_takes_linear_time(kind: str) -> None:
    source = Source("x", HUGE[kind])
    start = time.perf_counter()
    tree = parse(source)
    assert time.perf_counter() - start < 10 * MEGABYTES, "far above what it takes, far below quadratic"
    assert len(tree.problems) <= MAX_PROBLEMS
    assert gc.isenabled()


def test_100_000_nested_blocks_are_read_and_let_go() -> None:
    tree = tree_of("a{" * 100_000 + "b;" + "}" * 100_000)
    assert not tree.problems
    assert sum(1 for _ in tree.walk()) == 100_001
    assert said("a{" * 100_000) == ['unexpected end of file, expecting "}"']
    del tree
    gc.collect()


# --- dumps ------------------------------------------------------------------------------------------------------------

MAIN = b"events {}\nhttp { include *.inc; include two.inc; }"
ONE = b"map $uri $b {\n default ' # configuration file x:';\n}\r\n\n"


def test_a_dump_gives_back_the_files_byte_for_byte(binary: NginxBinary, tmp_path: Path) -> None:
    files = {"nginx.conf": MAIN, "one.inc": ONE, "two.inc": b"", "three.inc": b"server {}"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = [binary.path, "-T", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "/dev/null"]
    command += ["-g", f"pid {tmp_path}/pid;"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    for dump in (done.stdout, done.stderr + done.stdout):
        assert looks_like_dump(dump)
        found = {Path(source.path).name: source.data for source in parse_dump(dump)}
        assert list(found) == ["nginx.conf", "one.inc", "three.inc", "two.inc"]
        assert found == files


def test_a_dump_with_windows_line_ends_is_read() -> None:
    dump = b"nginx: ok\r\n# configuration file /a:\r\nx 1;\r\n\r\n# configuration file /b:\r\ny 2;\r\n"
    assert [(s.path, s.data) for s in parse_dump(dump)] == [("/a", b"x 1;\r\n"), ("/b", b"y 2;")]


def test_a_plain_file_is_no_dump() -> None:
    assert not looks_like_dump("http {\n  # configuration file /a:\n}")
    assert looks_like_dump("# configuration file /a:\n")
    assert parse_dump(b"http {}") == ()
    twice = b"# configuration file /a:\nx;\n\n# configuration file /a:\ny;\n\n"
    assert [s.data for s in parse_dump(twice)] == [b"x;\n"]
