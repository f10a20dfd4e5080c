"""PCRE as nginx uses it, and the subset for where the pcre2 package is missing: both engines agree."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ws101.nginx.regex import Match, RegexError, Undecided, compile_regex, engines

BOTH = pytest.mark.parametrize("engine", engines())
NEEDS_PCRE = pytest.mark.skipif("pcre2" not in engines(), reason="the pcre2 package is not installed")

CHARS = st.sampled_from([*"abAB1_/ .-\n\t\xe9\xc9~", r"\.", r"\/", r"\-", r"\x41", r"\t"])
CLASSES = st.sampled_from(
    [r"\d", r"\w", r"\s", r"\W", ".", "[ab]", "[^a/]", "[a-b1]", "[]a]", "[[:alpha:]_]", r"[\d.-]"]
)
ANCHORS = st.sampled_from(["^", "$", r"\b", r"\A", r"\z", r"\Z"])
QUANTIFIERS = st.sampled_from(["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{1,}", "{0,2}?"])
SINGLE = st.builds(str.__add__, CHARS | CLASSES, QUANTIFIERS)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.lists(inner, min_size=1, max_size=3).map("".join)
    either = st.lists(joined, min_size=1, max_size=3).map("|".join)
    opening = st.sampled_from(["(", "(?:", "(?<n>", "(?P<m>", "(?=", "(?!"])
    return joined | st.builds(lambda o, body, q: f"{o}{body}){q}", opening, either, st.sampled_from(["", "", "?", "+"]))


PATTERNS = st.recursive(SINGLE | ANCHORS, _compound, max_leaves=8)
SUBJECTS = st.text(alphabet="abAB1_/ .-\n\t\xe9\xc9~", max_size=12)


def outcome(pattern: str, subject: str, engine: str, caseless: bool) -> Match | str | None:
    """What an engine finds, or the kind of failure."""
    try:
        return compile_regex(pattern, caseless=caseless, engine=engine).search(subject)
    except RegexError:
        return "refused"
    except Undecided:
        return "undecided"


@NEEDS_PCRE
@given(pattern=PATTERNS, subject=SUBJECTS, caseless=st.booleans())
@example(pattern=r"(a|ab)(c|bcd)?$", subject="abcd", caseless=False)
@example(pattern="^$", subject="\n", caseless=False)
@example(pattern="\xe9", subject="\xc9", caseless=True)
@example(pattern=r"(?i)a\x41", subject="aa", caseless=False)
def test_the_subset_finds_what_pcre_finds(pattern: str, subject: str, caseless: bool) -> None:
    ours = outcome(pattern, subject, "re", caseless)
    if ours != "undecided":
        assert ours == outcome(pattern, subject, "pcre2", caseless)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^/api/v(\d+)/(.*)$",
        r"\.(?:png|jpe?g|gif)$",
        r"^(?<user>[a-z0-9-]+)\.example\.com$",
        r"^/ws(/.*)?$",
        r"^https?://[^/]+\.example\.com(?::\d+)?$",
        r"(?i)websocket",
        "^~$",
        "",
    ],
)
def test_patterns_that_configurations_use_are_in_the_subset(pattern: str) -> None:
    assert compile_regex(pattern, engine="re").engine == "re"


@BOTH
def test_groups_and_names_are_those_of_the_match(engine: str) -> None:
    regex = compile_regex(r"^/(?<section>\w+)(/x)?(?P<rest>.*)$", engine=engine)
    assert (regex.captures, regex.names) == (3, ("rest", "section"))
    found = regex.search("/ws?a")
    assert found == Match(("/ws?a", "ws", None, "?a"), (("rest", "?a"), ("section", "ws")))
    assert regex.search("ws") is None


@BOTH
def test_bytes_above_ascii_are_single_characters_without_case(engine: str) -> None:
    text = "\u00e9".encode().decode("latin-1")
    found = compile_regex("^..$", engine=engine).search(text)
    assert found is not None
    assert found.groups == (text,)
    assert compile_regex("^\xe9$", caseless=True, engine=engine).search("\xc9") is None
    assert compile_regex(r"\w", engine=engine).search("\xe9") is None


@BOTH
@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", 'pcre2_compile() failed: missing closing parenthesis in "(a"'),
        ("a)b", 'pcre2_compile() failed: unmatched closing parenthesis in "a)b"'),
        ("[a", 'pcre2_compile() failed: missing terminating ] for character class in "[a"'),
        ("+a", 'pcre2_compile() failed: quantifier does not follow a repeatable item in "+a"'),
        ("a\\", 'pcre2_compile() failed: \\ at end of pattern in "a\\"'),
    ],
)
def test_a_bad_pattern_is_refused_in_nginx_words(pattern: str, message: str, engine: str) -> None:
    with pytest.raises(RegexError) as caught:
        compile_regex(pattern, engine=engine)
    assert caught.value.message.partition('" at "')[0].rstrip('"') == message.rstrip('"')


@BOTH
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(a*)*b", "(.*a){20}$", "(?:a?){30}a{30}$"])
def test_a_catastrophic_pattern_takes_no_long_time(pattern: str, engine: str) -> None:
    started = time.monotonic()
    assert outcome(pattern, "a" * 40 + "!", engine, False) in ("undecided", None)
    assert time.monotonic() - started < 2


def test_the_subset_refuses_a_search_that_may_take_too_long() -> None:
    regex = compile_regex(".*a.*b.*c", engine="re")
    assert regex.search("xaxbxc") is not None
    with pytest.raises(Undecided, match="may take too long"):
        regex.search("a" * 8000)


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "a++", "(?>a)", "(?<=a)b", "(?R)", "{", "a{,3}", r"\pL", "(*UTF)a", r"\Qa\E"]
)
def test_what_the_subset_does_not_know_is_undecided(pattern: str) -> None:
    with pytest.raises(Undecided, match="needs the pcre2 package"):
        compile_regex(pattern, engine="re")


@NEEDS_PCRE
@pytest.mark.parametrize(
    ("pattern", "subject", "matches"),
    [
        (r"^\x{41}\x4\x$", "A\x04\0", True),
        (r"^\Qa.b\E$", "a.b", True),
        (r"^\Q\x{41}\E$", r"\x{41}", True),
        (r"(?<=a)b", "ab", True),
        ("(?>a+)a", "aaa", False),
        (r"^\\x$", r"\x", True),
    ],
)
def test_pcre_reads_a_pattern_as_nginx_does(pattern: str, subject: str, matches: bool) -> None:
    assert (compile_regex(pattern, engine="pcre2").search(subject) is not None) is matches


@NEEDS_PCRE
def test_what_the_package_would_read_otherwise_is_refused_or_undecided() -> None:
    with pytest.raises(RegexError, match="PCRE2 does not support"):
        compile_regex(r"\u0041", engine="pcre2")
    for pattern in (r"\C", r"\x{263a}", "a{,3}", "a{ 2 }"):
        with pytest.raises(Undecided):
            compile_regex(pattern, engine="pcre2")


def test_compiling_is_cached() -> None:
    assert compile_regex("^/cached$") is compile_regex("^/cached$")
