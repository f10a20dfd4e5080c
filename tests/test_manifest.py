"""The text of a manifest, and what two of them differ in."""

from __future__ import annotations

import random
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws101.errors import InputError
from ws101.manifest import Drift, Entry, Manifest, Running, Stale, compare, format_manifest, is_manifest, parse_manifest

DIGEST = sha256(b"x").hexdigest()
OTHER = sha256(b"y").hexdigest()
MAIN = Entry("nginx.conf", DIGEST, 1, mode=0o644, owner="root:root")
SITE = Entry("sites/a.conf", OTHER, 12, mode=0o640, owner="www:adm", target="../a.conf")
SEALED = Manifest("nginx.conf", (MAIN, SITE), "/etc/nginx", ("sites/a.conf: js_path x: code",))

NAMES = st.text(st.characters(min_codepoint=1, max_codepoint=255), min_size=1, max_size=20)
DIGESTS = st.binary(max_size=4).map(lambda data: sha256(data).hexdigest())
ENTRIES = st.builds(
    Entry,
    NAMES,
    DIGESTS,
    st.none() | st.integers(0, 2**40),
    st.just("") | DIGESTS,
    st.none() | st.integers(0, 0o7777),
    st.just(""),
    st.just("") | NAMES,
    st.booleans(),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    found = {entry.name: entry for entry in draw(st.lists(ENTRIES, max_size=6))}
    owned = [replace(e, owner=draw(NAMES)) if e.mode is not None else e for e in found.values()]
    main = replace(MAIN, name=draw(NAMES))
    entries = {entry.name: entry for entry in (*owned, main)}
    return Manifest(
        main.name,
        tuple(entries[name] for name in sorted(entries)),
        draw(st.just("") | NAMES),
        tuple(sorted(draw(st.sets(NAMES, max_size=2)))),
    )


@given(manifests())
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    text = format_manifest(manifest)
    assert parse_manifest(text) == manifest
    assert format_manifest(parse_manifest(text)) == text


@given(manifests(), st.randoms(use_true_random=False))
def test_its_lines_may_stand_in_any_order_and_twice(manifest: Manifest, chance: random.Random) -> None:
    lines = format_manifest(manifest).split("\n")[:-1] * 2
    chance.shuffle(lines)
    assert parse_manifest("\n".join(lines) + "\n") == manifest


@given(manifests())
def test_every_line_of_digest_and_name_is_one_that_sha256sum_writes_and_all_others_begin_with_a_hash(
    manifest: Manifest,
) -> None:
    sums = [line for line in format_manifest(manifest).split("\n")[:-1] if not line.startswith("#")]
    assert len(sums) == len(manifest.entries)
    for line, entry in zip(sums, manifest.entries, strict=True):
        escaped = any(char in entry.name for char in "\\\n\r")
        assert line.startswith(("\\" if escaped else "") + entry.digest + "  ")


def test_the_text_is_what_the_documentation_shows() -> None:
    assert format_manifest(SEALED).split("\n") == [
        "# ws101/manifest/1",
        "# Check it in the folder of the configuration: sha256sum -c MANIFEST, or anywhere: ws101 drift MANIFEST",
        "# folder /etc/nginx",
        "# main nginx.conf",
        "# uncovered sites/a.conf: js_path x: code",
        "# size 1 nginx.conf",
        "# mode 0644 root:root nginx.conf",
        f"{DIGEST}  nginx.conf",
        "# size 12 sites/a.conf",
        "# mode 0640 www:adm sites/a.conf",
        "# link ../a.conf sites/a.conf",
        f"{OTHER}  sites/a.conf",
        "",
    ]


def test_content_only_leaves_out_what_differs_between_machines() -> None:
    text = format_manifest(SEALED.content_only)
    elsewhere = replace(
        SEALED,
        folder="/home/me/nginx",
        entries=(replace(MAIN, mode=0o600, owner="me:me"), replace(SITE, mode=0o777, owner="me:me", target="")),
    )
    assert format_manifest(elsewhere.content_only) == text
    assert not any(word in text for word in ("0644", "root", "/etc/nginx", "../a.conf"))


@pytest.mark.parametrize(
    "name", ["a b", "a\nb", "a\\b", "a\rb", "\xff\x01\x1b[2J", "-", "*x", " x", "#x", "..\\n", "x "]
)
def test_the_real_sha256sum_accepts_every_name(tmp_path: Path, name: str) -> None:
    data = b"server {}\n"
    (tmp_path / name.encode("latin-1").decode("utf-8", "surrogateescape")).write_bytes(data)
    entry = Entry(name, sha256(data).hexdigest(), len(data), mode=0o644, owner="root:root", target="a\nb c")
    text = format_manifest(Manifest(name, (entry,), "/etc\nx", ("a\nb",)))
    command = ["sha256sum", "-c", "--strict", "--warn", "-"]
    done = subprocess.run(command, input=text.encode("latin-1"), capture_output=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b": OK\n")


def test_crlf_line_ends_of_the_manifest_itself_do_no_harm() -> None:
    text = format_manifest(SEALED).replace("\n", "\r\n")
    assert is_manifest(text)
    assert parse_manifest(text) == SEALED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("# ws101/manifest/1\n", ""), "this is not a manifest"),
        ((f"{DIGEST}  nginx", "nonsense"), "neither a digest with a name"),
        ((f"{DIGEST}  nginx", f"{DIGEST[:-1]}  nginx"), "neither a digest with a name"),
        (("# size 1 ", "# size one "), "makes no sense"),
        (("# mode 0644 root:root nginx.conf", "# mode 0644 root:root"), "makes no sense"),
        (("# size 12 sites", "# size 12 other"), "no digest of other"),
        (("# main nginx.conf", "# main other.conf"), "the main file is not in it"),
        (("# link ../a.conf sites/a.conf", f"{DIGEST}  sites/a.conf"), "another line says otherwise"),
        (("# link ../a.conf", "# link \\q"), "escapes nothing"),
        (("# link ../a.conf", "# link a\\"), "escapes nothing"),
        (("# folder /etc/nginx", "<<<<<<< ours"), "neither a digest"),
    ],
)
def test_a_damaged_manifest_is_refused_and_the_line_is_named(change: tuple[str, str], message: str) -> None:
    text = format_manifest(SEALED).replace(*change)
    with pytest.raises(InputError, match=message):
        parse_manifest(text, where="m")


def test_the_error_names_file_and_line() -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest("# ws101/manifest/1\nrubbish\x1b[2J\n", where="a.manifest")
    assert caught.value.where == "a.manifest:2"
    assert "\x1b" not in str(caught.value)


def changed(new: Entry, **more: object) -> list[tuple[str, str]]:
    old = Manifest("nginx.conf", (MAIN,))
    found = compare(old, Manifest("nginx.conf", (new,)), **more)  # type: ignore[arg-type]
    return [(change.kind, change.detail) for change in found]


def test_the_same_is_no_change() -> None:
    assert compare(SEALED, SEALED) == ()
    assert compare(SEALED.content_only, SEALED) == ()
    assert compare(SEALED, SEALED.content_only) == ()


def test_content_mode_owner_and_link_are_told_apart() -> None:
    assert changed(replace(MAIN, digest=OTHER)) == [("content", "its content differs, not its size")]
    assert changed(replace(MAIN, digest=OTHER, size=2)) == [("content", "its content differs, 1 bytes became 2")]
    assert changed(replace(MAIN, mode=0o4755)) == [("mode", "0644 became 4755")]
    assert changed(replace(MAIN, owner="www:adm")) == [("owner", "root:root became www:adm")]
    assert changed(replace(MAIN, target="b")) == [("link", "it is a file itself, and now it leads to b")]
    assert [kind for kind, _ in changed(replace(SITE, name="nginx.conf"))] == ["content", "mode", "owner", "link"]


def test_only_line_ends_are_recognised_in_both_directions() -> None:
    windows = replace(MAIN, digest=OTHER, unix=DIGEST, size=2)
    assert changed(windows) == [("line-ends", "only line ends differ: LF became CR LF")]
    (back,) = compare(Manifest("nginx.conf", (windows,)), Manifest("nginx.conf", (MAIN,)))
    assert (back.kind, back.detail) == ("line-ends", "only line ends differ: CR LF became LF")


def test_a_shorter_file_that_looks_damaged_is_truncated() -> None:
    big = replace(MAIN, size=100)
    small = replace(MAIN, digest=OTHER, size=40)
    for now, kind in (
        (replace(small, trouble="it is empty"), "truncated"),
        (replace(small, unfinished=True), "truncated"),
        (small, "content"),
        (replace(small, size=140, unfinished=True), "content"),
    ):
        (found,) = compare(Manifest("nginx.conf", (big,)), Manifest("nginx.conf", (now,)))
        assert found.kind == kind
    ended_so = replace(big, unfinished=True)
    (found,) = compare(Manifest("nginx.conf", (ended_so,)), Manifest("nginx.conf", (replace(small, unfinished=True),)))
    assert found.kind == "content"


def test_added_removed_unloaded_missing_and_unreadable_files() -> None:
    bare = Manifest("nginx.conf", (MAIN,))
    both = Manifest("nginx.conf", (MAIN, SITE))
    assert [(c.kind, c.name) for c in compare(bare, both)] == [("added", "sites/a.conf")]
    assert [(c.kind, c.name) for c in compare(both, bare)] == [("removed", "sites/a.conf")]
    left = replace(SITE, digest=DIGEST)
    assert [c.kind for c in compare(both, bare, present=(left,))] == ["unloaded", "content"]
    assert [c.kind for c in compare(both, bare, unreadable={"sites/a.conf": "no permission"})] == ["unreadable"]
    assert [(c.kind, c.name) for c in compare(bare, bare, missing=("b",))] == [("missing", "b")]
    assert [c.kind for c in compare(both, bare, missing=("sites/a.conf",))] == ["removed"]


RUN = Running(1, "/usr/sbin/nginx", "1.22.1", replaced=False, started=1.0)


@pytest.mark.parametrize(
    ("entries", "unreadable", "running", "class_", "code"),
    [
        ((MAIN,), {}, None, "clean", 0),
        ((MAIN,), {}, RUN, "clean", 0),
        ((MAIN, SITE), {}, RUN, "drift", 1),
        ((MAIN, SITE), {"x": "no permission"}, RUN, "drift", 1),
        ((MAIN,), {"x": "no permission"}, RUN, "unchecked", 2),
        ((MAIN,), {}, replace(RUN, stale=(Stale("nginx.conf", "changed", 1.0),)), "stale", 1),
        ((MAIN,), {"x": "?"}, replace(RUN, stale=(Stale("nginx.conf", "changed", 1.0),)), "stale", 1),
        ((MAIN,), {}, replace(RUN, refused="emerg"), "refused", 1),
        ((MAIN,), {}, replace(RUN, started=None), "unchecked", 2),
        ((MAIN,), {}, replace(RUN, replaced=True), "clean", 0),
    ],
)
def test_the_class_is_the_gravest_and_what_was_not_seen_is_never_clean(
    entries: tuple[Entry, ...], unreadable: dict[str, str], running: Running | None, class_: str, code: int
) -> None:
    old, new = Manifest("nginx.conf", (MAIN,)), Manifest("nginx.conf", entries)
    drift = Drift(old, new, compare(old, new, unreadable=unreadable), running)
    assert (drift.class_, drift.exit_code) == (class_, code)


@settings(max_examples=200)
@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_any_text_is_read_or_refused(rest: str) -> None:
    try:
        manifest = parse_manifest(f"# ws101/manifest/1\n# main a\n{DIGEST}  a\n{rest}\n")
    except InputError:
        return
    assert manifest.main == "a"
