from __future__ import annotations

from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from ws101.report.places import Places

NAMES = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="/"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


def test_below_the_base_a_path_is_relative_and_elsewhere_it_is_absolute() -> None:
    places = Places("/repo")
    assert places.path("/repo/deploy/nginx.conf") == "deploy/nginx.conf"
    assert places.path("/repository/nginx.conf") == "/repository/nginx.conf"
    assert places.uri("/etc/nginx/a b.conf") == ("file:///etc/nginx/a%20b.conf", False)


def test_a_relative_path_of_a_copy_is_below_the_base() -> None:
    places = Places("/repo", lambda name: name.replace("/etc/nginx", "./deploy/../nginx"))
    assert places.path("/etc/nginx/nginx.conf") == "nginx/nginx.conf"


@given(st.lists(NAMES, min_size=1), st.lists(NAMES))
def test_base_and_relative_uri_together_name_the_file(names: list[str], base: list[str]) -> None:
    folder = "/" + "/".join(base)
    places = Places(folder)
    path = folder.rstrip("/") + "/" + "/".join(names)
    uri, inside = places.uri(path)
    assert inside
    joined = urlsplit(urljoin(places.base_uri, "./" + uri)).path
    assert unquote_to_bytes(joined) == path.encode("latin-1")
