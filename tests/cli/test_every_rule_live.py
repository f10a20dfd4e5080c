"""Each of the first rules, live: diagnosed by file and line, applied, proven, and nobody else notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.rules.real import handshake, plain_outcomes, realised
from tests.rules.test_examples import aimed_path
from ws101.cli import main
from ws101.host.binary import NginxBinary
from ws101.lab.backends import EchoApp
from ws101.lab.nginx import Nginx
from ws101.lab.ports import free_ports
from ws101.rules import Rule, find_rule
from ws101.rules.base.page import Pair

FIRST = (
    "upgrade-not-forwarded",
    "missing-upgrade-header",
    "missing-connection-header",
    "connection-cleared",
    "connection-keep-alive",
    "missing-http-version",
    "upgrade-header-wrong-value",
    "header-inheritance-reset",
    "headers-in-wrong-location",
    "map-variable-undefined",
    "location-slash-redirect",
    "read-timeout",
)
OLD = """\
events {{}}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://{backend}; }}
    }}
}}
"""
"""What runs while the file on the disk is one that nginx refuses."""


def cases() -> Iterator[object]:
    for name in FIRST:
        rule = find_rule(name)
        assert rule is not None, name
        for number, pair in enumerate(rule.page.pairs):
            if pair.good.fixable and not pair.good.unsafe:
                yield pytest.param(rule, pair, id=f"{name}-{number}")


@pytest.fixture(scope="module")
def backend() -> Iterator[EchoApp]:
    with EchoApp() as recorder:
        yield recorder


@pytest.mark.parametrize(("rule", "pair"), tuple(cases()))
def test_it_is_diagnosed_by_file_and_line_applied_and_proven(  # noqa: PLR0917  # fixtures come by name
    rule: Rule,
    pair: Pair,
    binary: NginxBinary,
    backend: EchoApp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not pair.bad.holds_for(binary.build):
        pytest.skip(f"the example is about nginx {pair.bad.nginx}")
    monkeypatch.setenv("WS101_STATE", str(tmp_path / "state"))
    (port,) = free_ports(1)
    files = realised(dict(pair.bad.files), port, backend.address)
    refused = pair.bad.proof == "refused"
    asked = pair.bad.urls[0] if pair.bad.urls else f"ws://example.com{aimed_path(rule, pair, binary.build)}"
    parts = urlsplit(asked)
    url = f"ws://{parts.hostname}:{port}{parts.path or '/'}"
    with Nginx(
        {**files, "nginx.conf": OLD.format(port=port, backend=backend.address)} if refused else files, binary=binary
    ) as nginx:
        if refused:
            nginx.rewrite("nginx.conf", files["nginx.conf"])
        before = [] if refused else plain_outcomes(port, backend, ("/", parts.path))

        main(
            [url, "--conf", str(nginx.conf_path), "--resolve", f"{parts.hostname}:{port}:127.0.0.1", "--format", "json"]
        )
        found = json.loads(capsys.readouterr().out)
        causes = {cause["rule"]: cause for cause in found["root_causes"]}
        assert rule.name in causes, found["root_causes"]
        assert Path(causes[rule.name]["file"]).is_relative_to(nginx.dir)
        assert causes[rule.name]["line"] > 0
        assert found["verdict"] == ("degraded" if rule.name == "read-timeout" else "broken")

        code = main(
            ["fix", str(nginx.conf_path), "--url", url, "--style", pair.good.style, "--apply", "--format", "json"]
        )
        applied = json.loads(capsys.readouterr().out)
        assert (code, applied["applied"]["class"]) == (0, "proven"), applied["applied"]
        assert handshake(port, url)[0] == 101
        after = [] if refused else plain_outcomes(port, backend, ("/", parts.path))
    if pair.good.style != "quick":
        assert [plain.outcome for plain in after] == [plain.outcome for plain in before]
