"""The demo: the story told live on every nginx within reach, and nothing left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ws101.cli import main
from ws101.errors import NginxError
from ws101.host.binary import NginxBinary
from ws101.host.network import handshake
from ws101.host.process import masters
from ws101.lab.backends import plain
from ws101.lab.story import Deployment
from ws101.lab.telling import tell
from ws101.report.style import PLAIN


def test_the_demo_ends_at_101_and_cleans_up(binary: NginxBinary, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--nginx", binary.path]) == 0
    said = capsys.readouterr().out
    scenes = [said.index(scene) for scene in ("1 BROKEN", "2 FIX", "3 APPLY", "4 101")]
    assert scenes == sorted(scenes)
    assert "Error during WebSocket handshake: Unexpected response code: 400" in said
    assert "predicted request = recorded request, byte for byte" in said
    assert "HTTP/1.1 101 Switching Protocols" in said
    assert "FAILED" not in said
    folder = re.search(r"files in (\S+)", said)
    assert folder is not None
    assert not Path(folder[1]).exists()
    assert not any(folder[1] in master.title for master in masters())


def test_the_site_is_broken_at_first_and_its_dashboard_works(binary: NginxBinary) -> None:
    with Deployment(binary.path) as story:
        assert handshake(story.endpoint, network=story.network)[1].status == 400
        with story.open_dashboard() as dashboard:
            dashboard.send("hello")
            assert dashboard.recv(timeout=5) == "hello"


def test_a_story_that_goes_wrong_says_so(binary: NginxBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application answers something else: nothing is claimed to be fixed."""
    said: list[str] = []
    with Deployment(binary.path) as story:
        monkeypatch.setattr(story.app, "refuse", lambda _request: plain(503, "Busy", "later"))
        assert tell(story, said.append, PLAIN) is False
    text = "\n".join(said)
    assert "FAILED" in text
    assert "2 FIX" not in text


def test_a_program_that_is_no_nginx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NginxError):
        Deployment(str(tmp_path / "nothing"))
