"""What all tests share: hypothesis profiles and the nginx builds that the real-nginx tests run against."""

from __future__ import annotations

import os
import platform
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import settings

from ws101.host.binary import NginxBinary, all_nginx

BINARIES = all_nginx()
"""Every nginx within reach, each a real one."""

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's script started us in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else every program we start ignores Ctrl-C, too

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "local")


def missing_builds(binaries: tuple[NginxBinary, ...]) -> list[str]:
    """The builds that continuous integration must have and that are not there."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return []
    numbers = {binary.build.number for binary in binaries}
    system = any(binary.path.startswith(("/usr/sbin/", "/usr/bin/", "/usr/local/")) for binary in binaries)
    wheel_and_npm = [number for number in ("1.31.3", "1.25.4") if number not in numbers]
    return wheel_and_npm + ([] if system else ["the system's nginx"])


def pytest_sessionstart(session: pytest.Session) -> None:
    """In CI a missing real part is a failure, not a silent gap."""
    missing = missing_builds(BINARIES)
    if missing and IN_CI:
        raise pytest.UsageError(f"nginx builds are missing: {', '.join(missing)} (see .ci/run and `make nginx`)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the nginx builds, and say loudly if one that could be tested is missing."""
    found = ", ".join(f"{binary.build.number} ({binary.path})" for binary in BINARIES) or "none"
    terminalreporter.write_line(f"nginx: {found}")
    if missing := missing_builds(BINARIES):
        terminalreporter.write_line(f"NOT TESTED: nginx {', '.join(missing)}; see `make nginx`", yellow=True, bold=True)
    for reason, count in skipped(terminalreporter.stats.get("skipped", [])).most_common():
        terminalreporter.write_line(f"NOT TESTED: {count} times, {reason}", yellow=True, bold=True)


def skipped(reports: Iterable[pytest.TestReport]) -> Counter[str]:
    """How often each reason kept a test from running, for example that it needs root, a mount or a tmpfs."""
    reasons = (report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple | list))
    return Counter(reason.removeprefix("Skipped: ") for reason in reasons)


@pytest.fixture(params=BINARIES, ids=[binary.build.number for binary in BINARIES])
def binary(request: pytest.FixtureRequest) -> NginxBinary:
    """Each nginx build in turn."""
    found: NginxBinary = request.param
    return found


@pytest.fixture
def repository() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parent.parent
