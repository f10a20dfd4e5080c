from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from tests.report.test_sarif import BROKEN, SITE, read
from ws101.check import CheckReport, check
from ws101.nginx.build import Build
from ws101.nginx.config import Config, MemoryFiles
from ws101.report.github import github
from ws101.report.places import Places
from ws101.report.subject import Subject
from ws101.rules import Options

COMMAND = re.compile(r"::(error|warning|notice) ([^:]*)::(.*)")


def parsed(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command, read as the runner reads it."""
    match = COMMAND.fullmatch(line)
    assert match is not None, line
    fields = dict(part.split("=", 1) for part in match[2].split(","))
    return match[1], {key: unquote(value) for key, value in fields.items()}, unquote(match[3])


def lines_of(result: tuple[Subject, CheckReport], base: str) -> list[str]:
    return github([result], Places(base)).split("\n")


def test_a_finding_becomes_an_annotation_at_its_lines(tmp_path: Path) -> None:
    lines = lines_of(read(tmp_path, SITE), str(tmp_path))
    level, fields, text = parsed(lines[0])
    assert (level, fields["file"], fields["line"], fields["endLine"]) == ("error", "nginx.conf", "5", "8")
    assert "col" not in fields
    assert fields["title"] == "WS101 upgrade-not-forwarded"
    assert "\nfix: forward Upgrade and Connection" in text
    assert lines[-1].startswith("ws101: 1 error")


def test_columns_are_given_within_one_line_and_end_with_its_last_character(tmp_path: Path) -> None:
    text = SITE.replace("proxy_read_timeout 1h;", "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
                        "proxy_set_header Connection upgrade; proxy_read_timeout 5s;")  # fmt: skip
    subject, report = read(tmp_path, text)
    single = [parsed(line) for line in lines_of((subject, report), str(tmp_path)) if "endColumn" in line]
    assert single
    source = subject.sources[str(tmp_path / "nginx.conf")]
    for _, fields, _ in single:
        line = source.line_text(int(fields["line"])).encode("latin-1").decode()
        selected = line[int(fields["col"]) - 1 : int(fields["endColumn"])]
        assert selected == selected.strip()
        assert selected


def test_a_refusal_is_said_once_and_what_cannot_be_known_too(tmp_path: Path) -> None:
    text = str(BROKEN["refused"]).replace("/status", "/status/socket.io/")
    commands = [parsed(line) for line in lines_of(read(tmp_path, text), str(tmp_path))[:-1]]
    refusals = [(level, fields["title"]) for level, fields, text in commands if "unexpected end of file" in text]
    assert refusals == [("error", "WS127 config-syntax-error")]
    assert any(fields["title"] == "unknown" and level == "notice" for level, fields, _ in commands)


@given(st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=30))
def test_whatever_a_file_holds_each_line_is_one_command_or_the_summary(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    text = f'events {{}} http {{ server {{ listen 80; location "/ws{quoted}" {{ proxy_pass http://a.example; }} }} }}'
    config = Config(
        MemoryFiles({"/x:,%\n::error::y.conf": text.encode("latin-1", "replace")}), "/x:,%\n::error::y.conf"
    )
    build = Build((1, 22, 1))
    report = check(config, (build,), Options())
    lines = lines_of((Subject(config, (build,), "option"), report), "/")
    for line in lines[:-1]:
        level, fields, _ = parsed(line)
        assert level in {"error", "warning", "notice"}
        assert set(fields) <= {"file", "line", "endLine", "col", "endColumn", "title"}
    assert lines[-1].startswith("ws101: ")
