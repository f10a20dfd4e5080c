from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.check import check
from ws101.findings import Fix, Safety
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.report.editor import Lines, Place, Range, fix_title, hover, marks
from ws101.rules import Options
from ws101.text import Source

NAME = "/etc/nginx/nginx.conf"
OLD, NEW = Build((1, 22, 1)), Build((1, 31, 3))
SITE = """\
events {}
http {
    server {
        listen 80;  # größe 🎈
        location /ws {
            proxy_pass http://127.0.0.1:3000;
            proxy_read_timeout 1h;
        }
        location /gone { return 410; }
        location ~ ^/chat { proxy_pass http://127.0.0.1:3000; proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade; }
    }
}
"""


def config_of(text: str) -> Config:
    return Config(MemoryFiles({NAME: text.encode()}), NAME, complete=True)


def at(text: str, word: str) -> int:
    """The byte offset of a word."""
    return len(text[: text.index(word)].encode())


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 20), ("utf-16", 16), ("utf-32", 15)])
def test_characters_are_counted_in_the_units_that_were_agreed_on(encoding: str, character: int) -> None:
    text = "x\r\n# größe 🎈 \tabc\rd"
    lines = Lines(Source.from_bytes("x", text.encode()), encoding)
    offset = at(text, "bc")
    assert lines.place(offset) == Place(1, character - 4 + 1)
    assert lines.offset(Place(1, character - 4 + 1)) == offset
    assert lines.place(at(text, "d")) == Place(2, 0), "a lone CR ends a line for editors"


@given(st.text(alphabet="aß🎈 \r\n", max_size=30), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_a_place_leads_back_to_its_offset(text: str, encoding: str) -> None:
    lines = Lines(Source.from_bytes("x", text.encode()), encoding)
    offsets = [len(text[:i].encode()) for i in range(len(text) + 1) if text[i - 1 : i + 1] != "\r\n" or i == 0]
    assert [lines.offset(lines.place(offset)) for offset in offsets] == offsets


def test_places_beyond_the_end_are_the_end() -> None:
    lines = Lines(Source.from_bytes("x", b"ab\ncd"))
    assert lines.offset(Place(0, 99)) == 2
    assert lines.offset(Place(9, 0)) == 5


@given(st.binary(max_size=30))
def test_bytes_that_are_no_utf8_have_places_too(data: bytes) -> None:
    lines = Lines(Source.from_bytes("x", data))
    places = [lines.place(offset) for offset in range(len(data) + 1)]
    assert places == sorted(places, key=lambda place: (place.line, place.character))


def test_a_block_is_marked_by_its_first_line() -> None:
    report = check(config_of(SITE), (OLD,), Options(urls=("ws://x/ws",)))
    mark = next(mark for mark in marks(report, NAME) if mark.code == "WS101 upgrade-not-forwarded")
    assert SITE.encode()[mark.span.start : mark.span.end] == b"location /ws"
    assert mark.level == "error"
    assert Lines(report.config.sources[NAME]).range(mark.span) == Range(Place(4, 8), Place(4, 20))
    assert marks(report, "/etc/nginx/other.conf") == ()


def test_what_nginx_refuses_is_marked_as_an_error_of_its_own() -> None:
    report = check(config_of(SITE.rstrip().removesuffix("}")), (OLD,))
    refused = [mark for mark in marks(report, NAME) if mark.finding is None]
    assert [mark.level for mark in refused] == ["error"]
    assert "unexpected end of file" in refused[0].message


def test_hovering_in_a_location_tells_what_reaches_the_backend() -> None:
    text = hover(config_of(SITE), (OLD,), NAME, at(SITE, "proxy_read_timeout"))
    assert text is not None
    assert text.startswith("**`location /ws`**")
    assert "**No tunnel**: it arrives as HTTP/1.0, Upgrade does not arrive" in text
    assert "| `Upgrade: websocket` | cut: nginx forwards it only if told to |  |" in text
    assert "| `Connection: Upgrade` | nginx's default | `Connection: close` |" in text


def test_hovering_tells_what_differs_between_versions() -> None:
    text = hover(config_of(SITE), (OLD, NEW), NAME, at(SITE, "~ ^/chat"))
    assert text is not None
    assert "With nginx before 1.31.3:" in text
    assert "it arrives as HTTP/1.0" in text
    assert "**A tunnel opens**; it may stay silent for 60 s (proxy_read_timeout, nginx's default)." in text


def test_hovering_where_nginx_answers_itself_says_so_and_outside_of_locations_nothing() -> None:
    gone = hover(config_of(SITE), (OLD,), NAME, at(SITE, "return"))
    assert gone is not None
    assert "It does not reach a backend: nginx's answer is *returned* with 410." in gone
    for word in ("events", "listen", "# gr"):
        assert hover(config_of(SITE), (OLD,), NAME, at(SITE, word)) is None


def test_an_unsafe_fix_says_so_in_the_menu() -> None:
    assert fix_title(Fix("do it", ())) == "do it"
    assert fix_title(Fix("do it", (), Safety.UNSAFE, "it hurts")) == "do it (unsafe: it hurts)"
