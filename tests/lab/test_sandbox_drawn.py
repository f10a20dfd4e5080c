"""Configurations drawn as for the model's proof, tried in the sandbox: what it does to them must not show.

``WS101_DRAWN=N`` tries so many; those here once came out other than predicted, and the sandbox was at fault.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab.sandboxes import tried, write
from tools.fidelity.draw import draw_sample
from tools.fidelity.sample import filled, lacking
from ws101.errors import NginxError
from ws101.host.binary import NginxBinary, find_nginx
from ws101.lab.sandbox_report import as_text
from ws101.report.style import PLAIN

PLACES = {
    "__ADDR__": "127.0.0.1", "__PORT__": "8081", "__TLS__": "8444", "__WILD__": "8082", "__N__": "1",
    "__B0__": "127.0.0.1:9000", "__B1__": "127.0.0.1:9001", "__B2__": "127.0.0.1:9002", "__P0__": "9000",
    "__P1__": "9001", "__SUB__": "127.0.0.1:9003", "__DNS__": "127.0.0.1:5353", "__DEAD__": "127.0.0.1:9",
    "__ROOT__": "/srv/root", "__PASS__": "/srv/password", "__SOCK__": "unix:/srv/b.sock", "__UNIX__": "/srv/l.sock",
}  # fmt: skip
AROUND = """events {{ }}
http {{
    proxy_read_timeout 2s;
    proxy_connect_timeout 1s;
    limit_conn_zone $binary_remote_addr zone=clients:64k;
    limit_req_zone $binary_remote_addr zone=rate:64k rate=1000000r/s;
    proxy_cache_path /srv/cache keys_zone=cache:1m;
{}}}
"""
FAILED_ONCE = ("150", "205", "255", "326", "350", "401", "sandbox/204", "sandbox/386", "sandbox/392")
MORE = tuple(f"drawn/{number}" for number in range(int(os.environ.get("WS101_DRAWN", "12"))))
_REFUSED = ("ssl_certificate", "cannot have URI part")


@pytest.mark.parametrize("seed", FAILED_ONCE + MORE)
def test_a_drawn_configuration_behaves_as_predicted(seed: str, tmp_path: Path) -> None:
    binary = find_nginx()
    assert binary is not None
    text = drawn(seed, binary)
    try:
        report = tried(write(tmp_path, {"nginx.conf": AROUND.format(text)}), binary)
    except NginxError as error:
        if not any(words in error.message for words in _REFUSED):
            raise
        return
    assert not any(row.differs for row in report.routes), as_text(report, PLAIN)


def drawn(seed: str, binary: NginxBinary) -> str:
    sample = draw_sample(seed)
    if lacking(binary.build, sample.needs):
        pytest.skip("this nginx lacks a module for it")
    return filled(sample.text, PLACES)
