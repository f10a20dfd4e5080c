"""How long a tunnel may be silent: what the configuration says, what is measured, and how exactly."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.cli.support import Done, ws101
from ws101.lab.backends import StoryApp
from ws101.lab.nginx import Nginx, until, wrap
from ws101.lab.ports import free_ports

SETTINGS = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"


class Running:
    """A site whose tunnels nginx cuts after 2 s."""

    def __init__(self, nginx: Nginx, port: int) -> None:
        self.nginx = nginx
        self.url = f"ws://127.0.0.1:{port}/ws"
        text = nginx.conf_path.read_text().partition("proxy_read_timeout")[0]
        self.line = f"nginx.conf:{text.count(chr(10)) + 1}"

    def probe(self, *more: str) -> Done:
        return ws101("probe", self.url, "--conf", str(self.nginx.conf_path), *more)

    def logged(self) -> list[float]:
        """How long each tunnel lived, by nginx's own clock."""
        return [float(found) for found in re.findall(r"lived=([0-9.]+)", self.nginx.access_log())]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    (port,) = free_ports(1)
    with StoryApp(ping_interval=None) as app, contextlib.ExitStack() as held:
        server = (
            "log_format lived 'lived=$request_time'; access_log access.log lived;\n"
            f"server {{ listen 127.0.0.1:{port};\n"
            f"location /ws {{ proxy_pass http://127.0.0.1:{app.port}; {SETTINGS}\n    proxy_read_timeout 2s; }} }}"
        )
        yield Running(held.enter_context(Nginx(wrap(server))), port)


def test_what_the_configuration_says_is_told_at_once(running: Running) -> None:
    done = running.probe("--idle", "--predict")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"predicted: nginx cuts a silent tunnel after 2 s (proxy_read_timeout, {running.line})\n"


def test_the_measurement_is_as_exact_as_nginx_itself(running: Running) -> None:
    errors = []
    for _ in range(3):  # a machine that is busy for a moment is no error of the measurement
        before = len(running.logged())
        done = running.probe("--idle", "8", "--format", "json")
        until(lambda: len(running.logged()) > before, "line in the access log", 5)  # noqa: B023
        details = done.json["details"]
        assert details["as_predicted"] is True
        assert (details["predicted"], details["predicted_by"]) == (2.0, f"proxy_read_timeout, {running.line}")
        errors.append(details["silent"] - running.logged()[-1])
        if -0.3 <= errors[-1] <= 0.15:
            break
    assert any(-0.3 <= error <= 0.15 for error in errors), errors


def test_a_measurement_says_beside_what_was_predicted(running: Running) -> None:
    done = running.probe("--idle", "8")
    assert done.code == 1
    assert done.err.startswith("predicted: nginx cuts a silent tunnel after 2 s")
    assert re.search(r"cut after [12]\.\d s of silence.*as predicted", " ".join(done.out.split()))


def test_a_prediction_that_fails_is_said(running: Running) -> None:
    running.nginx.rewrite("other.conf", running.nginx.conf_path.read_text().replace("timeout 2s", "timeout 1h"))
    other = str(running.nginx.dir / "other.conf")
    done = ws101("probe", running.url, "--idle", "8", "--conf", other, "--format", "json")
    assert done.json["details"]["as_predicted"] is False
    assert "not as predicted: 60 min" in done.json["message"]
    assert "ws101 diagnose" in done.json["help"]
    short = ws101("probe", running.url, "--idle", "1", "--conf", other, "--format", "json")
    assert short.json["details"]["as_predicted"] is None
    assert short.code == 0


def test_what_opens_no_tunnel_predicts_nothing(running: Running) -> None:
    done = ws101("probe", running.url + "/x?", "--idle", "--predict", "--conf", str(running.nginx.conf_path))
    assert done.code == 0
    elsewhere = ws101(
        "probe", running.url.replace("/ws", "/"), "--idle", "--predict", "--conf", str(running.nginx.conf_path)
    )
    assert elsewhere.code == 2
    assert "nothing is predicted" in elsewhere.err


@pytest.mark.parametrize("more", [["--conf", "x"], ["--predict"], ["--idle", "--predict", "--format", "json"]])
def test_what_does_not_go_together_is_said(more: list[str]) -> None:
    done = ws101("probe", "ws://127.0.0.1:1/", *more)
    assert done.code == 2
    assert "--predict" in done.err
