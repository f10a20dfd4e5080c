"""The story on a real nginx: diagnosed, fixed, proven, taken back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import DIAGNOSE, FIXED, PROBE, mismatches, ws101
from ws101.host.binary import NginxBinary
from ws101.lab.story import Deployment


@pytest.fixture
def story(binary: NginxBinary) -> Iterator[Deployment]:
    with Deployment(binary.path) as deployment:
        yield deployment


def resolve(story: Deployment) -> tuple[str, str]:
    return "--resolve", f"example.com:{story.port}:127.0.0.1"


def test_the_whole_way_from_400_to_101_and_back(story: Deployment, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    before = (story.conf.parent / "sites-available/example.conf").read_bytes()

    found = ws101(story.url, *resolve(story), "--format", "json")
    assert found.code == 1
    assert mismatches(found.json, DIAGNOSE) == []
    cause = found.json["root_causes"][0]
    assert (found.json["verdict"], cause["rule"], cause["confidence"]) == ("broken", "upgrade-not-forwarded", "proven")
    assert (found.json["observed"]["status"], found.json["observed"]["answered_by"]) == (400, "backend")
    assert found.json["nginx"] == {"version": story.binary.build.number, "source": "binary"}
    assert cause["file"].endswith("sites-enabled/example.conf")

    applied = ws101("fix", str(story.conf), "--url", story.url, "--apply", "--format", "json", WS101_STATE=state)
    assert applied.code == 0, applied.err
    assert mismatches(applied.json, FIXED) == []
    assert applied.json["applied"]["class"] == "proven"
    for item in applied.json["applied"]["files"]:
        assert hashlib.sha256(Path(item["file"]).read_bytes()).hexdigest() == item["sha256"]

    probed = ws101("probe", story.url, *resolve(story), "--format", "json")
    assert (probed.code, probed.json["response"]["status"]) == (0, 101)
    assert mismatches(probed.json, PROBE) == []

    works = ws101(story.url, *resolve(story))
    assert works.code == 0
    assert works.out.startswith(f"WORKS  {story.url}\n")

    undone = ws101("undo", WS101_STATE=state)
    assert undone.code == 0
    assert "TAKEN BACK" in undone.out
    assert (story.conf.parent / "sites-available/example.conf").read_bytes() == before
    assert ws101("probe", story.url, *resolve(story)).code == 1


def test_the_diagnosis_shows_the_three_hops_and_the_evidence(story: Deployment) -> None:
    done = ws101(story.url, *resolve(story))
    assert done.code == 1
    assert f"BROKEN  {story.url}" in done.out
    assert "400 Bad Request  answered by the backend" in done.out
    assert "the same handshake straight to the backend succeeds" in done.out
    assert any("Upgrade: websocket" in line and "✗  cut" in line for line in done.out.splitlines())
    assert "Apply it" in done.out


def test_a_probe_shows_what_was_sent_and_what_came_back(story: Deployment) -> None:
    done = ws101("probe", story.url, *resolve(story), "--header", "Cookie: sid=verysecret")
    assert done.code == 1
    lines = [line.strip() for line in done.out.splitlines()]
    assert lines[0] == f"FAILED  {story.url}"
    assert "GET /ws HTTP/1.1" in lines
    assert "Cookie: sid=***" in lines
    assert "HTTP/1.1 400 Bad Request" in lines
    assert "│ Bad Request" in lines
    assert any(line.startswith("✗") and line.endswith("RFC 6455 section 4.1, 1") for line in lines)
    assert any(line.startswith("Timings") for line in lines)


def test_a_plain_request_is_probed_on_demand(story: Deployment) -> None:
    page = story.url.replace("/ws", "/").replace("ws:", "http:")
    done = ws101("probe", page, *resolve(story), "--http", "--format", "json")
    assert (done.code, done.json["response"]["status"]) == (0, 200)


def test_where_the_backend_is_down_nothing_is_written(story: Deployment, tmp_path: Path) -> None:
    site = story.conf.parent / "sites-available/example.conf"
    site.write_text(site.read_text().replace(f":{story.app.port};", ":1;"))
    before = site.read_bytes()
    done = ws101("fix", str(story.conf), "--url", story.url, "--apply", "--format", "json", WS101_STATE=str(tmp_path))
    assert done.code == 2
    assert done.json["applied"]["class"] == "not-started"
    assert "does not answer" in done.json["applied"]["reason"]
    assert site.read_bytes() == before
