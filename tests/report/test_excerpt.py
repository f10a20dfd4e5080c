from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ws101.report.excerpt import Mark, excerpt, mask_config
from ws101.report.style import PLAIN, Style
from ws101.text import Source, Span


def shown(text: str, part: str, *, message: str = "", width: int = 100) -> list[str]:
    source = Source.from_bytes("/etc/nginx/site.conf", text.encode())
    raw = part.encode().decode("latin-1")
    start = source.text.index(raw)
    mark = Mark(Span(source.path, start, start + len(raw)), message)
    return excerpt({source.path: source}, [mark], Style(width=width))


def test_the_deciding_place_is_underlined() -> None:
    assert shown("server {\n    listen 80;\n}\n", "listen 80", message="here") == [
        " --> /etc/nginx/site.conf:2:5",
        "1 │ server {",
        "2 │     listen 80;",
        "  │     ^^^^^^^^^ here",
        "3 │ }",
    ]


def test_tabs_are_shown_as_blanks_and_the_underline_stands_below_its_word() -> None:
    lines = shown("\t\tlisten 80;", "listen")
    assert lines[1:] == ["1 │         listen 80;", "  │         ^^^^^^"]


def test_wide_characters_take_two_columns() -> None:
    lines = shown('set $a "日本"; listen 80;', "listen")
    assert lines[2].index("^") == len("  │ ") + len('set $a ""; ') + 4


def test_a_byte_that_is_no_utf8_is_escaped() -> None:
    source = Source.from_bytes("a", b"set $a \xff; listen 80;")
    start = source.text.index("listen")
    lines = excerpt({"a": source}, [Mark(Span("a", start, start + 6))], PLAIN)
    assert lines[1] == "1 │ set $a \\xff; listen 80;"
    assert lines[2].index("^") == lines[1].index("listen")


def test_a_span_over_several_lines_is_underlined_on_its_first() -> None:
    lines = shown("location / {\n    a b;\n}\n", "location / {\n    a b;\n}")
    assert lines[2] == "  │ ^^^^^^^^^^^^"


def test_control_characters_never_reach_the_terminal() -> None:
    lines = shown("# \x1b[31m\nlisten 80;", "listen")
    assert "\x1b" not in "".join(lines)


def test_a_long_line_is_cut_at_the_terminals_width() -> None:
    lines = shown("listen 80; # " + "x" * 500, "listen", width=60)
    assert max(map(len, lines)) <= 60


def test_marks_in_two_files_are_shown_file_by_file() -> None:
    one, two = Source("one", "a b;"), Source("two", "c d;")
    lines = excerpt(
        {"one": one, "two": two}, [Mark(Span("one", 0, 3)), Mark(Span("two", 0, 3), "and", primary=False)], PLAIN
    )
    assert lines == [" --> one:1:1", "1 │ a b;", "  │ ^^^", " ::: two:1:1", "1 │ c d;", "  │ --- and"]


def test_a_file_that_could_not_be_read_is_named() -> None:
    assert excerpt({}, [Mark(Span("gone.conf", 3, 4))], PLAIN) == [" --> gone.conf"]


def test_lines_far_apart_are_joined_by_an_ellipsis() -> None:
    source = Source("f", "a;\n" * 9)
    lines = excerpt({"f": source}, [Mark(Span("f", 0, 1)), Mark(Span("f", 24, 25))], PLAIN)
    assert "…" in lines


def test_secrets_in_the_configuration_are_masked_and_the_underline_still_fits() -> None:
    lines = shown('proxy_set_header Authorization "Basic c2VjcmV0"; listen 80;', "listen")
    assert "c2VjcmV0" not in "\n".join(lines)
    assert lines[2].index("^") == lines[1].index("listen")


def test_what_is_secret_and_what_is_not() -> None:
    assert mask_config('proxy_set_header X-Api-Key "abc123";') == "proxy_set_header X-Api-Key ***;"
    assert mask_config("proxy_set_header Cookie $http_cookie;") == "proxy_set_header Cookie $http_cookie;"
    assert mask_config("proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key;").endswith("_key;")
    assert mask_config("proxy_pass http://user:pw@backend;") == "proxy_pass http://user:***@backend;"
    assert mask_config("rewrite ^ /x?token=abc last;") == "rewrite ^ /x?token=*** last;"
    assert mask_config("proxy_set_header Upgrade $http_upgrade;") == "proxy_set_header Upgrade $http_upgrade;"


@given(st.binary(max_size=80), st.integers(0, 80), st.integers(0, 80))
def test_any_bytes_and_any_span_give_printable_lines(data: bytes, start: int, length: int) -> None:
    source = Source.from_bytes("f", data)
    start = min(start, len(data))
    lines = excerpt({"f": source}, [Mark(Span("f", start, min(len(data), start + length)))], PLAIN)
    assert lines
    assert all(line.isprintable() for line in lines)


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    text = "server { " + "gzip on; " * 50 + "listen 80; " + "gzip off; " * 50 + "}"
    _, line, below = shown(text, "listen 80", width=60)
    assert line[4] == "…"
    assert line[-1] == "…"
    assert max(len(line), len(below)) <= 60
    assert line[below.index("^") : below.rindex("^") + 1] == "listen 80"


@given(st.integers(0, 300), st.integers(20, 120))
def test_the_underline_stands_below_its_place_in_lines_of_any_length(before: int, width: int) -> None:
    _, line, below = shown("x" * before + " listen 80; " + "y" * 100, "listen", width=width)
    assert line[below.index("^") :].startswith(("listen", "list", "lis", "li", "l", "…"))
