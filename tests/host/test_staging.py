"""A staged configuration is the changed one: what nginx reads there is what it would read after writing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ws101.host.binary import NginxBinary
from ws101.host.files import DiskFiles
from ws101.host.links import Content, Link
from ws101.host.staging import Stage, loaded_files
from ws101.host.target import Target
from ws101.lab.nginx import Nginx

MAIN = "pid nginx.pid;\nevents { }\nhttp {\n    access_log off;\n    include conf.d/*.conf; include sites/*.conf;\n}\n"
SITE = "server {\n    listen 127.0.0.1:1;\n    include snippets/answer;\n}\n"
FILES = {
    "nginx.conf": MAIN,
    "conf.d/a.conf": "# nothing\n",
    "sites/site.conf": SITE,
    "snippets/answer": "return 200 old;\n",
}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))


def staged(folder: Path, overlay: Mapping[str, Content]) -> dict[str, str]:
    """The staged files, the siblings' names being replaced by ``NAME!``."""
    stage = Stage(DiskFiles(), f"{folder}/nginx.conf", "tag")
    main = stage.write({f"{folder}/{name}": data for name, data in overlay.items()})
    short = {name: original.replace(f"{folder}/", "") + "!" for name, original in stage.written.items()}
    found = {}
    for name, original in short.items():
        if not Path(name).exists():
            continue
        text = Path(name).read_text(encoding="latin-1")
        for long, mark in short.items():
            text = text.replace(long, mark)
        found[original] = text.replace(f"{folder}/", "")
    assert short[main] == "nginx.conf!"
    stage.remove()
    assert not [path for path in folder.rglob(".*") if path.is_file()]
    return found


def test_only_the_way_to_a_changed_file_is_staged(tmp_path: Path) -> None:
    fill(tmp_path, FILES)
    assert staged(tmp_path, {"snippets/answer": b"return 200 new;\n"}) == {
        "nginx.conf!": MAIN.replace("pid nginx.pid", "pid /dev/null").replace(
            "include sites/*.conf", 'include "sites/site.conf!"'
        ),
        "sites/site.conf!": SITE.replace("include snippets/answer", 'include "snippets/answer!"'),
        "snippets/answer!": "return 200 new;\n",
    }


def test_a_new_and_a_removed_file_change_what_a_glob_means(tmp_path: Path) -> None:
    fill(tmp_path, FILES | {"conf.d/c.conf": "# c\n"})
    found = staged(tmp_path, {"conf.d/b.conf": b"# new\n", "conf.d/c.conf": None})["nginx.conf!"]
    assert 'include "conf.d/a.conf"; include "conf.d/b.conf!";' in found
    assert "c.conf" not in found
    assert found.count("\n") == MAIN.count("\n")
    gone = staged(tmp_path, {"conf.d/a.conf": None, "conf.d/c.conf": None})["nginx.conf!"]
    assert "conf.d" not in gone


def test_what_an_include_names_and_the_change_removes_is_missing_in_the_test_too(tmp_path: Path) -> None:
    fill(tmp_path, FILES)
    site = staged(tmp_path, {"snippets/answer": None})["sites/site.conf!"]
    assert 'include "snippets/answer!";' in site
    stage = Stage(DiskFiles(), f"{tmp_path}/nginx.conf", "tag")
    stage.write({f"{tmp_path}/snippets/answer": None})
    assert not [name for name, original in stage.written.items() if "answer" in original and Path(name).exists()]
    stage.remove()


def test_symlinks_of_the_change_are_followed_as_they_will_be(tmp_path: Path) -> None:
    fill(tmp_path, FILES | {"available/b": "# b\n"})
    (tmp_path / "sites/a.conf").symlink_to("../available/b")
    removed = staged(tmp_path, {"sites/a.conf": None})
    assert 'include "sites/site.conf"' in removed["nginx.conf!"]
    assert "a.conf" not in removed["nginx.conf!"].partition("sites")[2]
    made: dict[str, Content] = {"sites/new.conf": Link("../available/c"), "available/c": b"# c\n"}
    assert staged(tmp_path, made)["sites/new.conf!"] == "# c\n"
    chained: dict[str, Content] = {"sites/a.conf": Link("new.conf"), **made}
    assert staged(tmp_path, chained)["sites/a.conf!"] == "# c\n"
    behind = staged(tmp_path, {"available/b": b"# other\n"})
    assert behind["sites/a.conf!"] == "# other\n"
    assert (tmp_path / "sites/a.conf").is_symlink()


def test_a_symlink_of_the_change_that_leads_nowhere_or_in_a_circle_is_missing(tmp_path: Path) -> None:
    fill(tmp_path, FILES)
    for target in ("../nowhere", "new.conf"):
        stage = Stage(DiskFiles(), f"{tmp_path}/nginx.conf", "tag")
        stage.write({f"{tmp_path}/sites/new.conf": Link(target)})
        (name,) = [name for name, original in stage.written.items() if original.endswith("new.conf")]
        assert not Path(name).exists()
        stage.remove()


def test_a_main_file_without_a_pid_gets_one_on_its_first_line(tmp_path: Path) -> None:
    fill(tmp_path, {"nginx.conf": "events { }\n"})
    assert staged(tmp_path, {}) == {"nginx.conf!": "pid /dev/null; events { }\n"}
    fill(tmp_path, {"nginx.conf": "include main.d/*;\nevents { }\n", "main.d/a": "include more;\n"})
    fill(tmp_path, {"more": "pid /run/x.pid;\n"})
    assert staged(tmp_path, {}) == {
        "nginx.conf!": 'include "main.d/a!";\nevents { }\n',
        "main.d/a!": 'include "more!";\n',
        "more!": "pid /dev/null;\n",
    }


def test_an_include_loop_is_left_for_nginx_to_refuse(tmp_path: Path) -> None:
    fill(tmp_path, {"nginx.conf": "events { }\nhttp { include a; }\n", "a": "include b;\n", "b": "include a;\n"})
    assert set(staged(tmp_path, {"b": b"include a; # changed\n"})) == {"nginx.conf!", "a!", "b!"}


def test_all_that_nginx_loads_is_listed(tmp_path: Path) -> None:
    fill(tmp_path, FILES | {"sites/.hidden.conf": "x", "sites/b.conf": "include missing;\n"})
    names = [name.removeprefix(f"{tmp_path}/") for name in loaded_files(DiskFiles(), f"{tmp_path}/nginx.conf")]
    assert names == [
        "conf.d/a.conf",
        "missing",
        "nginx.conf",
        "sites/b.conf",
        "sites/site.conf",
        "snippets/answer",
    ]


def test_a_changed_file_behind_a_symlink_is_found_by_its_other_name(tmp_path: Path) -> None:
    fill(tmp_path, FILES)
    (tmp_path / "available").mkdir()
    (tmp_path / "sites/site.conf").rename(tmp_path / "available/site")
    (tmp_path / "sites/site.conf").symlink_to("../available/site")
    found = staged(tmp_path, {"available/site": b"server { listen 127.0.0.1:2; }\n"})
    assert found["sites/site.conf!"] == "server { listen 127.0.0.1:2; }\n"


def test_messages_name_the_files_themselves_however_many_are_staged(tmp_path: Path) -> None:
    snippets = {f"s/{number}.conf": "# \n" for number in range(12)}
    fill(tmp_path, {"nginx.conf": "include s/*.conf;\n"} | snippets)
    stage = Stage(DiskFiles(), f"{tmp_path}/nginx.conf", "tag")
    stage.write({f"{tmp_path}/{name}": b"# changed\n" for name in snippets})
    assert len(stage.written) == 13
    for staged_name, name in stage.written.items():
        assert stage.original(f"in {staged_name}:1") == f"in {name}:1"
    stage.remove()


NAMES = (
    "a b.conf",
    "a;{}.conf",
    'a"q.conf',
    "a[1]*?.conf",
    "a\\b.conf",
    "a$x.conf",
    "a\n.conf",
    "\xff\xe9.conf",
    "#.conf",
)


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_nginx_reads_the_staged_files_whatever_their_names(binary: NginxBinary, tmp_path: Path, absolute: bool) -> None:
    nginx = Nginx({"nginx.conf": "#"}, binary=binary)
    try:
        where = f"{nginx.dir}/" if absolute else ""
        main = f"events {{ }}\nhttp {{\n    access_log off;\n    include {where}conf.d/*.conf;\n}}\n"
        nginx.rewrite("nginx.conf", main)
        raw = nginx.dir / "conf.d"
        raw.mkdir()
        for number, name in enumerate(NAMES):
            path = bytes(raw) + b"/" + name.encode("latin-1")
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(f"map $uri $m{number} {{ default {number}; }}\n".encode())
        uses = "".join(f"$m{number}" for number in range(len(NAMES)))
        target = Target(str(nginx.conf_path), binary.path, prefix=f"{nginx.dir}/")
        stage = Stage(DiskFiles(), target.main, "tag")
        for number, name in enumerate(NAMES):
            changed = f"map $uri $m{number} {{ default changed; }}\n".encode()
            user = f'server {{ listen 127.0.0.1:1; return 200 "{uses}"; }}\n'.encode()
            overlay = {f"{raw}/{name}": changed, f"{raw}/zz.conf": user}
            assert target.accepts(stage.write(overlay)) == "", name
            broken = target.accepts(stage.write(overlay | {f"{raw}/{name}": b"nonsense;\n"}))
            assert stage.original(broken) == f'unknown directive "nonsense" in {raw}/{name}:1'
            stage.remove()
        assert not (nginx.dir / "nginx.pid").exists()
        assert not [path for path in nginx.dir.rglob(".*") if path.is_file()]
    finally:
        nginx.stop()
