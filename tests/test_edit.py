"""edit.py: new lines look like their neighbours, and nothing else moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ws101 import edit
from ws101.errors import EditError
from ws101.syntax import Directive, parse
from ws101.text import Edit, Source, apply

SITE = """http {
    # plain requests
    server {
        listen 80; # the port
        location /ws {
            proxy_pass http://b;
        }
        location / { proxy_pass http://b; }
        location /empty {}
        location /void {
        }
    }
}
"""


def find(text: str, name: str, *args: str) -> Directive:
    """The first directive of this name (and these arguments)."""
    for directive in parse(Source("nginx.conf", text)).walk():
        if directive.name == name and directive.args[: len(args)] == args:
            return directive
    raise LookupError(name)


def changed(text: str, *edits: Edit) -> list[tuple[str, str]]:
    """The lines that an edit took away and put there."""
    after = apply(text, edits).split("\n")
    before = text.split("\n")
    while before and after and before[0] == after[0]:
        before, after = before[1:], after[1:]
    while before and after and before[-1] == after[-1]:
        before, after = before[:-1], after[:-1]
    return [("-", line) for line in before] + [("+", line) for line in after]


def test_a_line_is_appended_after_the_last_directive_of_a_block() -> None:
    edited = edit.append(find(SITE, "location", "/ws"), "proxy_http_version 1.1;")
    assert changed(SITE, edited) == [("+", "            proxy_http_version 1.1;")]


def test_a_line_is_appended_right_after_the_directive_of_its_family() -> None:
    server = find(SITE, "server")
    edited = edit.append(server, "listen 81;", after=edit.last_named(server, "listen"))
    assert changed(SITE, edited) == [("+", "        listen 81;")]


def test_a_one_line_block_stays_on_one_line() -> None:
    edited = edit.append(find(SITE, "location", "/"), ["a 1;", "b 2;"])
    assert changed(SITE, edited) == [
        ("-", "        location / { proxy_pass http://b; }"),
        ("+", "        location / { proxy_pass http://b; a 1; b 2; }"),
    ]


def test_an_empty_block_is_opened_up() -> None:
    edited = edit.append(find(SITE, "location", "/empty"), "a 1;")
    assert [line for _, line in changed(SITE, edited)] == [
        "        location /empty {}",
        "        location /empty {",
        "            a 1;",
        "        }",
    ]
    assert changed(SITE, edit.prepend(find(SITE, "location", "/empty"), "a 1;")) == changed(SITE, edited)


def test_an_empty_block_of_two_lines_is_filled() -> None:
    edited = edit.append(find(SITE, "location", "/void"), "a 1;")
    assert changed(SITE, edited) == [("+", "            a 1;")]


def test_a_comment_at_the_end_of_a_block_stays_before_what_is_appended() -> None:
    text = "server {\n\ta 1;\n\t# last\n\n}\n"
    assert apply(text, [edit.append(find(text, "server"), "b 2;")]) == "server {\n\ta 1;\n\t# last\n\tb 2;\n\n}\n"


def test_prepend_puts_lines_below_the_opening_brace_and_its_comment() -> None:
    text = "server { # main\n  a 1;\n}\n"
    assert apply(text, [edit.prepend(find(text, "server"), "b 2;")]) == "server { # main\n  b 2;\n  a 1;\n}\n"
    assert changed(SITE, edit.prepend(find(SITE, "location", "/"), "a 1;"))[1] == (
        "+",
        "        location / { a 1; proxy_pass http://b; }",
    )


def test_insert_before_goes_above_the_comments_on_top_of_a_directive() -> None:
    edited = edit.insert_before(find(SITE, "server"), "map $http_upgrade $c {\n  default upgrade;\n  '' close;\n}")
    assert changed(SITE, edited) == [
        ("+", "    map $http_upgrade $c {"),
        ("+", "        default upgrade;"),
        ("+", "        '' close;"),
        ("+", "    }"),
    ]
    result = apply(SITE, [edited])
    assert result.index("map") < result.index("# plain")


def test_the_end_of_a_quoted_word_that_looks_like_a_comment_is_not_split() -> None:
    text = 'return 200 "\n# end";\nlisten 80;\n'
    assert (
        apply(text, [edit.insert_before(find(text, "listen"), "a 1;")]) == 'return 200 "\n# end";\na 1;\nlisten 80;\n'
    )


def test_insert_before_and_after_within_a_line() -> None:
    text = "server { listen 80; root /a; }\n"
    assert apply(text, [edit.insert_before(find(text, "root"), "a 1;")]) == "server { listen 80; a 1; root /a; }\n"
    assert apply(text, [edit.insert_after(find(text, "listen"), "a 1;")]) == "server { listen 80; a 1; root /a; }\n"
    assert apply(text, [edit.insert_before(find(text, "server"), "a 1;")]) == "a 1;\n" + text


def test_comments_inserted_within_a_line_get_a_line_of_their_own() -> None:
    text = "server { listen 80; }\n"
    result = apply(text, [edit.insert_after(find(text, "listen"), ["# why", "a 1;"])])
    assert result == "server { listen 80;\n    # why\n    a 1;\n     }\n"
    result = apply(text, [edit.insert_before(find(text, "listen"), ["# why", "a 1;"])])
    assert result == "server { # why\n    a 1;\n    listen 80; }\n"


def test_insert_after_leaves_the_trailing_comment_to_its_directive() -> None:
    assert changed(SITE, edit.insert_after(find(SITE, "listen"), "a 1;")) == [("+", "        a 1;")]


def test_crlf_and_tabs_are_kept() -> None:
    text = "server {\r\n\tlocation / {\r\n\t\ta 1;\r\n\t}\r\n}\r\n"
    result = apply(text, [edit.append(find(text, "location"), ["if ($b) {", "  return 400;", "}"])])
    assert result == (
        "server {\r\n\tlocation / {\r\n\t\ta 1;\r\n\t\tif ($b) {\r\n\t\t\treturn 400;\r\n\t\t}\r\n\t}\r\n}\r\n"
    )


def test_a_missing_final_newline_stays_missing() -> None:
    assert apply("a 1; # c", [edit.insert_after(find("a 1; # c", "a"), "b 2;")]) == "a 1; # c\nb 2;"


def test_files_are_created_and_appended_to() -> None:
    assert edit.create_file("x.conf", ["a 1;", "b {", " c 2;", "}"]).text == "a 1;\nb {\n    c 2;\n}\n"
    assert apply("a 1;", [edit.append_file(Source("x", "a 1;"), "b 2;")]) == "a 1;\nb 2;\n"
    assert apply("a 1;\r\n", [edit.append_file(Source("x", "a 1;\r\n"), "b 2;")]) == "a 1;\r\nb 2;\r\n"
    assert apply("", [edit.append_file(Source("x", ""), "b 2;")]) == "b 2;\n"


@pytest.mark.parametrize(("text", "end"), [("x 1;\r\ny 2;\n", "\r\n"), ("x 1;\ny 2;\r\n", "\n"), ("x 1;", "\n")])
def test_a_new_file_has_the_line_ends_of_the_file_it_is_like(text: str, end: str) -> None:
    made = edit.create_file("x.conf", ["a {", "  c 2;", "}"], like=Source("y.conf", text))
    assert made.text == end.join(("a {", "    c 2;", "}", ""))


@pytest.mark.parametrize(
    ("before", "index", "value", "after"),
    [
        ("a b c;", 1, "d", "a b d;"),
        ('a "b";', 0, "c d", 'a "c d";'),
        ("a 'b';", 0, "c'd", "a 'c\\'d';"),
        ("a b;", 0, "c d", 'a "c d";'),
        ("a b;", 0, "", "a '';"),
        ('if ($a = "b") {}', 3, "c", 'if ($a = "b" c {}'),
        ("location /a{}", 0, "/b$", 'location "/b$"{}'),
    ],
)
def test_one_argument_is_set(before: str, index: int, value: str, after: str) -> None:
    directive = parse(Source("x", before)).directives[0]
    assert apply(before, [edit.set_arg(directive, index, value)]) == after


@pytest.mark.parametrize(
    ("before", "args", "after"),
    [
        ("a b c;", ("b", "d"), "a b d;"),
        ('a "b"  c;', ("b",), 'a "b";'),
        ("a;", ("b", "c d"), 'a b "c d";'),
        ("a b # why\n c;", ("b",), "a b # why\n ;"),
        ("a b # why\n c;", ("x", "c", "d"), "a x # why\n c d;"),
        ("a b;", (), "a;"),
    ],
)
def test_all_arguments_are_set(before: str, args: tuple[str, ...], after: str) -> None:
    directive = parse(Source("x", before)).directives[0]
    result = apply(before, edit.set_args(directive, *args))
    assert result == after
    assert parse(Source("x", result)).directives[0].args == args


@pytest.mark.parametrize(
    ("before", "name", "after"),
    [
        ("a 1;\nb 2; # two\nc 3;\n", "b", "a 1;\nc 3;\n"),
        ("a 1; b 2; c 3;\n", "b", "a 1; c 3;\n"),
        ("a 1; b 2; # c\n", "b", "a 1; # c\n"),
        ("s { b 2; }\n", "b", "s { }\n"),
        ("a;b;c;", "b", "a;c;"),
        ("a 1;\n  b {\n  c 2;\n  }\nd 3;\n", "b", "a 1;\nd 3;\n"),
        ("a 1;\nb 2;", "b", "a 1;\n"),
        ("b 2; # only\n", "b", ""),
        ("# above\r\nb 2;\r\nc;\r\n", "b", "# above\r\nc;\r\n"),
    ],
)
def test_a_directive_is_removed_with_no_more_than_its_own_lines(before: str, name: str, after: str) -> None:
    assert apply(before, [edit.remove(find(before, name))]) == after


def test_what_is_broken_is_not_edited() -> None:
    for text, name in (
        ("server {\n a 1;\n", "server"),
        ("a 1\n}", "a"),
        ("access_by_lua_block { x() }", "access_by_lua_block"),
    ):
        with pytest.raises(EditError):
            edit.append(find(text, name), "b 2;")
    with pytest.raises(EditError):
        edit.insert_after(find("a 1", "a"), "b;")
    with pytest.raises(EditError):
        edit.set_arg(find("a 1;", "a"), 1, "b")
    with pytest.raises(EditError):
        edit.quote("x" * 5000)


def test_the_indentation_unit_is_read_from_the_neighbourhood() -> None:
    assert edit.indent_unit(find("a {\n  b {\n  }\n}", "b")) == "  "
    assert edit.indent_unit(find("a {\n\tb {}\n}", "b")) == "\t"
    assert edit.indent_unit(find("s {\n}\nt {\n  b;\n}", "s")) == "    ", "nothing inside, no parent: the default"
    assert edit.indent_unit(find("h {\n   s {\n   }\n   t {\n     b;\n   }\n}", "s")) == "  "
    assert edit.indent_of(find("  a { b { c; } }", "c")) == " " * 10


VALUES = st.text(st.sampled_from("ab1.$^~/\\\"'{};# \t\n\r()ntr\xe9\x00"), max_size=12)


@given(VALUES, st.sampled_from(["", '"', "'"]))
@settings(max_examples=500)
def test_a_quoted_value_is_read_back_as_itself(value: str, style: str) -> None:
    raw = edit.quote(value, style)
    for text in (f"a {raw};", f"a {raw}{{}}", f"a x {raw} y;"):
        tree = parse(Source("x", text))
        assert value in tree.directives[0].args
        assert len(tree.directives[0].args) == (3 if " y;" in text else 1)
        assert not tree.problems
    assert "\n" not in raw or raw[0] not in "\"'"


@given(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1))
def test_a_plain_value_gets_no_quotes(value: str) -> None:
    assert edit.quote(value) == value


COMMENT = st.sampled_from(["", " # note", " # } ; \" '"])


@st.composite
def blocks(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """Lines of directives: nested, on one line, with comments and blank lines."""
    unit = "\t" if depth == 0 and draw(st.booleans()) else "  "
    lines: list[str] = []
    for _ in range(draw(st.integers(0 if depth else 1, 3))):
        kind = draw(
            st.sampled_from(
                ["simple", "line", "block", "two", "comment", "blank", "brace"] if depth < 3 else ["simple"]
            )
        )
        note = draw(COMMENT)
        if kind == "simple":
            lines.append('name "a b"  c' + draw(st.sampled_from(["", "\n    d", " # x\n  d"])) + ";" + note)
        elif kind == "line":
            lines.append("one /x { inner 1;" + draw(st.sampled_from(["", " inner 2;"])) + " }" + note)
        elif kind == "two":
            lines.append("left 1; right 2;" + note)
        elif kind == "comment":
            lines.append("# words; { }")
        elif kind == "blank":
            lines.append("")
        elif kind == "brace":
            lines.append("tight { inner 1;")
            lines.append(unit + "inner 2; }" + note)
        else:
            lines.append("block $a${b}" + draw(st.sampled_from([" {", "\n{"])) + note)
            lines += [unit + line for line in draw(blocks(depth + 1))]
            lines.append("}" + note)
    return lines


@st.composite
def configurations(draw: st.DrawFn) -> str:
    """A valid configuration's text."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return newline.join("\n".join(draw(blocks())).split("\n")) + draw(st.sampled_from(["", newline]))


Shape = list[tuple[str, tuple[str, ...], "Shape | None"]]


def shape(directives: list[Directive]) -> Shape:
    """Names and arguments, nested."""
    return [(d.name, d.args, None if d.block is None else shape(d.block)) for d in directives]


NEW = ["added 1;", "nested '' {", "  deep $x;", "}"]
NEW_SHAPE: Shape = [("added", ("1",), None), ("nested", ("",), [("deep", ("$x",), None)])]


def expected(directives: list[Directive], target: Directive, operation: str) -> Shape:
    """The shape that an operation on a directive shall give."""
    result: Shape = []
    for directive in directives:
        inner = None if directive.block is None else expected(directive.block, target, operation)
        this = (directive.name, directive.args, inner)
        if directive is not target:
            result.append(this)
        elif operation == "before":
            result += [*NEW_SHAPE, this]
        elif operation == "after":
            result += [this, *NEW_SHAPE]
        elif operation == "append":
            result.append((directive.name, directive.args, [*(inner or []), *NEW_SHAPE]))
        elif operation == "prepend":
            result.append((directive.name, directive.args, [*NEW_SHAPE, *(inner or [])]))
        elif operation == "set":
            result.append((directive.name, ("x y", "c"), inner))
    return result


OPERATIONS: dict[str, Callable[[Directive, list[str]], tuple[Edit, ...]]] = {
    "before": lambda d, lines: (edit.insert_before(d, lines),),
    "after": lambda d, lines: (edit.insert_after(d, lines),),
    "append": lambda d, lines: (edit.append(d, lines),),
    "prepend": lambda d, lines: (edit.prepend(d, lines),),
    "set": lambda d, _: edit.set_args(d, "x y", "c"),
    "remove": lambda d, _: (edit.remove(d),),
}


@given(configurations(), st.integers(0, 1000), st.sampled_from(sorted(OPERATIONS)), st.booleans())
@settings(max_examples=600, deadline=None)
def test_an_edit_does_what_it_says_and_nothing_else(text: str, pick: int, operation: str, commented: bool) -> None:
    tree = parse(Source("x", text))
    assert not tree.problems
    directives = [d for d in tree.walk() if d.block is not None or operation not in ("append", "prepend")]
    assume(directives)
    target = directives[pick % len(directives)]
    wanted = expected(tree.directives, target, operation)
    edits = OPERATIONS[operation](target, ["# why; {", *NEW] if commented else NEW)
    result = apply(text, edits)
    after = parse(Source("x", result))
    assert not after.problems
    assert shape(after.directives) == wanted
    assert sum(len(e.text) - (e.span.end - e.span.start) for e in edits) == len(result) - len(text)
    if operation not in ("set", "remove"):
        (only,) = edits
        assert strip_out(result, only) == text.replace(
            text[only.span.start : only.span.end], "", 1
        ) or result.startswith(text[: only.span.start])
        assert result.endswith(text[only.span.end :])
        assert ("\r\n" in only.text) == ("\n" in only.text and "\r\n" in text) or "\n" not in text


def strip_out(result: str, only: Edit) -> str:
    """The result without the inserted text."""
    return result[: only.span.start] + result[only.span.start + len(only.text) :]
