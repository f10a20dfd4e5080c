"""The sealed configuration, put together from what is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ws101.host.files import DiskFiles, name_of
from ws101.host.recall import SealedFiles, cut_short
from ws101.host.sealing import find_drift, seal
from ws101.manifest import Manifest


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration of a main file and two sites."""
    folder = tmp_path / "nginx"
    (folder / "sites").mkdir(parents=True)
    (folder / "nginx.conf").write_text("events {}\nhttp { include sites/*.conf; }\n")
    for name in "ab":
        (folder / "sites" / f"{name}.conf").write_text(f"# the site {name}\nserver {{ }}\n")
    return folder


def sealed(conf: Path) -> Manifest:
    return seal(DiskFiles(), name_of(conf / "nginx.conf"))


def recalled(old: Manifest, conf: Path, before: str = "") -> SealedFiles:
    return SealedFiles(DiskFiles(), name_of(conf), old, sealed(conf), before=before)


def test_what_is_unchanged_is_read_from_the_disk(conf: Path) -> None:
    files = recalled(sealed(conf), conf)
    assert files.read(f"{conf}/sites/a.conf") == b"# the site a\nserver { }\n"
    assert files.lost == []


def test_a_glob_lists_what_was_sealed_and_not_what_is_there(conf: Path) -> None:
    old = sealed(conf)
    (conf / "sites" / "c.conf").write_text("# c\n")
    (conf / "sites" / "a.conf").unlink()
    files = recalled(old, conf)
    names = [f"{conf}/sites/{name}.conf" for name in "ab"]
    assert files.glob(f"{conf}/sites/*.conf") == tuple(names)
    assert files.glob(f"{conf}/*/[b].conf") == (names[1],)
    assert files.glob(f"{conf}/*.conf") == (f"{conf}/nginx.conf",)
    with pytest.raises(FileNotFoundError, match="was not sealed"):
        files.read(f"{conf}/sites/c.conf")


def test_lost_content_is_said_to_be_lost(conf: Path) -> None:
    old = sealed(conf)
    (conf / "sites" / "a.conf").write_text("# another\n")
    files = recalled(old, conf)
    with pytest.raises(FileNotFoundError, match="not at hand"):
        files.read(f"{conf}/sites/a.conf")
    assert files.lost == ["sites/a.conf"]


def test_a_file_that_is_only_no_longer_loaded_is_still_at_hand(conf: Path) -> None:
    old = sealed(conf)
    (conf / "nginx.conf").write_text("events {}\nhttp { include sites/b.conf; }\n")
    assert recalled(old, conf).read(f"{conf}/sites/a.conf").startswith(b"# the site a")


@pytest.mark.parametrize(
    ("now", "kind"),
    [("# the site a\n", "truncated"), ("", "truncated"), ("# the site", "truncated"), ("# x", "content")],
)
def test_with_the_old_content_truncated_is_proven_or_ruled_out(conf: Path, tmp_path: Path, now: str, kind: str) -> None:
    old = sealed(conf)
    (tmp_path / "before" / "sites").mkdir(parents=True)
    (tmp_path / "before" / "sites" / "a.conf").write_bytes((conf / "sites" / "a.conf").read_bytes())
    (conf / "sites" / "a.conf").write_text(now)
    found, changes = find_drift(old, DiskFiles(), name_of(conf / "nginx.conf"))
    files = SealedFiles(DiskFiles(), name_of(conf), old, found.manifest, before=str(tmp_path / "before"))
    assert [change.kind for change in cut_short(changes, files)] == [kind]
