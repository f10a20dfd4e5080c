"""Each staged cause comes out as root cause number one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.live import causes, network_causes
from tests.live.applications import BACKENDS
from tests.live.staging import STAGES, Missing, Parts, Stage, diagnose

assert causes.__doc__
assert network_causes.__doc__

ONLY_LIVE = (
    "app-origin-allowlist", "backend-exact-connection-match", "backend-not-websocket-capable", "backend-redirect",
    "cdn-or-cache", "client-path-mismatch", "client-wrong-public-port", "connection-always-upgrade", "header-too-large",
    "http-to-https-redirect", "http2-without-rfc8441", "localhost-ipv6", "middlebox-strips-upgrade",
    "mixed-content-ws-on-https", "no-heartbeat", "no-sticky-sessions", "not-reloaded", "outer-idle-timeout",
    "outer-lb-no-websocket", "path-prefix-not-stripped", "plain-http-to-https-port", "proxy-pass-trailing-slash",
    "proxy-protocol-mismatch", "read-timeout", "reload-drops-connections", "second-proxy-hop",
    "selinux-or-socket-permission", "stale-upstream-dns", "subprotocol-mismatch", "tls-certificate-untrusted",
    "trusted-proxies-400", "upstream-scheme-mismatch", "upstream-slow-504", "upstream-unreachable",
    "worker-connections", "x-forwarded-proto-missing",
)  # fmt: skip
"""The established causes of real failures that a configuration alone does not prove."""

QUICK = [stage for stage in STAGES if not stage.slow]
SLOW = [stage for stage in STAGES if stage.slow]


def judged(stage: Stage) -> None:
    with Parts() as parts:
        try:
            site = stage.build(parts)
        except Missing as missing:
            pytest.skip(f"{missing} is not there")
        told = diagnose(site)
    first = told.first
    shown = "\n".join(
        f"{c['rule']} {c['confidence']} {c['message']}\n   {c['evidence']}" for c in told.json["root_causes"]
    )
    tried = "\n".join(f"{t['name']}: {t['answer']}" for t in told.json["experiments"])
    assert (first["rule"], first["confidence"]) == (stage.rule, stage.confidence), f"{shown}\n{tried}"
    assert told.json["verdict"] == stage.verdict, shown
    assert told.code == (1 if stage.verdict == "broken" else 0)


@pytest.mark.parametrize("stage", QUICK, ids=[stage.name for stage in QUICK])
def test_the_cause_is_named_first(stage: Stage) -> None:
    judged(stage)


@pytest.mark.skipif(os.environ.get("WS101_LIVE") != "1", reason="takes long: make live")
@pytest.mark.parametrize("stage", SLOW, ids=[stage.name for stage in SLOW])
def test_the_cause_is_named_first_after_a_measurement(stage: Stage) -> None:
    judged(stage)


def test_every_known_cause_that_only_a_live_site_shows_is_staged(repository: Path) -> None:
    assert set(ONLY_LIVE) <= {stage.rule for stage in STAGES}
    page = (repository / "docs/reference/live-causes.md").read_text()
    assert [name for name in ONLY_LIVE if f"| `{name}` |" not in page] == []
    assert [name for name in BACKENDS if f"| {name} |" not in page and f"- {name}:" not in page] == []
