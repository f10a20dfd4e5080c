"""A sample of drawn configurations and requests, on every real nginx and in the model; `make fidelity` draws more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.fidelity.batch import Batch
from tools.fidelity.conf import Node, node, render, smaller, walk
from tools.fidelity.draw import draw_sample
from tools.fidelity.run import run
from tools.fidelity.sample import Ask, Sample
from tools.fidelity.shrink import judge, shrink
from tools.fidelity.wire import Wire, is_handshake
from ws101.host.binary import NginxBinary, all_nginx
from ws101.http1 import Request
from ws101.nginx import plan
from ws101.syntax import parse
from ws101.text import Source

SEED = os.environ.get("WS101_SEED", "sample")
PAIRS = int(os.environ.get("WS101_PAIRS", "5000"))
"""Over all versions together."""


def test_model_and_nginx_agree_on_drawn_configurations_and_requests(binary: NginxBinary, tmp_path: Path) -> None:
    tally = run(binary, tmp_path, PAIRS // max(1, len(all_nginx())), SEED, show=1)
    assert not tally.mismatches, f"seed {SEED}:\n{tally.mismatches[0]}"
    assert tally.unknown_pairs <= tally.pairs / 100, str(tally)
    assert tally.run_time_pairs
    assert tally.run_time_unknown
    assert tally.kinds["proxied"] > tally.pairs / 4
    assert tally.tunnels
    assert not tally.timed_out
    assert sum(tally.refused.values()) < tally.samples / 20, str(tally)


def test_a_seed_draws_the_same_sample_again() -> None:
    assert draw_sample("a/1") == draw_sample("a/1")
    assert draw_sample("a/1").text != draw_sample("a/2").text


def test_what_is_drawn_reads_back_as_the_same_directives() -> None:
    for number in range(40):
        sample = draw_sample(f"read/{number}")
        tree = parse(Source("c", sample.text))
        assert not tree.problems
        drawn = [item.name for item in walk((*sample.http, *sample.servers))]
        read = []
        stack = list(reversed(tree.directives))
        while stack:
            directive = stack.pop()
            read.append(directive.name)
            stack += reversed(directive.block or [])
        assert read == drawn


def test_a_smaller_tree_has_one_directive_less() -> None:
    tree = (node("a", block=[node("b", "x y"), node("c")]),)
    texts = [render(candidate) for candidate in smaller(tree)]
    assert texts == ["", "a {\n    c;\n}\n", 'a {\n    b "x y";\n}\n']


def test_a_wrong_model_is_caught_and_cut_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: a planted fault gives a counterexample without anything that does not matter."""
    binary = all_nginx()[0]
    location = node(
        "location", "/", block=[node("proxy_pass", "http://__B0__"), node("proxy_set_header", "Upgrade", "x")]
    )
    noise = node("location", "/noise", block=[node("return", "204")])
    server = node("server", block=[node("listen", "__ADDR__:__PORT__"), noise, location])
    ask = Ask(Request("GET", "/far/away?x=y", "HTTP/1.1", (("Host", "a.test"), ("X-Noise", "1"))))
    sample = Sample("planted", (), (server,), (ask,))
    wire = Wire(tmp_path)
    try:
        with Batch(binary, wire, [sample]) as batch:
            assert [judged.differences for judged in judge(batch)] == [()]
        monkeypatch.setattr(plan, "effective_all", lambda _scope, _name: ())
        with Batch(binary, wire, [sample]) as batch:
            (judged,) = judge(batch)
            small = shrink(judged, binary, wire)
    finally:
        wire.close()
    assert [difference.what for difference in small.differences] == ["bytes"]
    assert {item.name for item in walk(small.sample.servers)} == {
        "server",
        "listen",
        "location",
        "proxy_pass",
        "proxy_set_header",
    }
    (asked,) = small.sample.asks
    assert asked.request.target == "/"
    assert asked.request.headers == (("Host", "a.test"),)
    assert "DIFFERENT bytes" in str(small)


def test_a_refused_sample_is_dropped_alone(tmp_path: Path) -> None:
    binary = all_nginx()[0]
    good = _answering(node("return", "204"))
    bad_line = _answering(node("proxy_set_header", "one"))
    bad_variable = _answering(node("proxy_set_header", "X", "$nobody"), node("proxy_pass", "http://__B0__"))
    wire = Wire(tmp_path)
    try:
        with Batch(binary, wire, [good, bad_line, bad_variable, good]) as batch:
            assert [refused.sample for refused in batch.refused] == [bad_line, bad_variable]
            assert [pair.seen.status for pair in batch.pairs()] == [204, 204]
    finally:
        wire.close()


def _answering(*lines: Node) -> Sample:
    location = node("location", "/", block=lines)
    server = node("server", block=[node("listen", "__ADDR__:__PORT__"), location])
    return Sample("x", (), (server,), (Ask(Request("GET", "/", "HTTP/1.1", (("Host", "x"),))),))


HANDSHAKE = (
    "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: a, Upgrade\r\n"
    "Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_the_backend_knows_an_opening_handshake() -> None:
    assert is_handshake(HANDSHAKE.encode())
    for wrong in (
        HANDSHAKE.replace("GET", "POST"),
        HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"),
        HANDSHAKE.replace("WebSocket\r\n", "h2c\r\n", 1),
        HANDSHAKE.replace("a, Upgrade", "close"),
        HANDSHAKE.replace("Sec-WebSocket-Key: k\r\n", ""),
        HANDSHAKE.replace("Sec-WebSocket-Key: k\r\n", "Sec-WebSocket-Key: k\r\nContent-Length: 1\r\n"),
        HANDSHAKE.replace("Upgrade: WebSocket\r\n", "Upgrade: WebSocket\r\nUpgrade: x\r\n"),
    ):
        assert not is_handshake(wrong.encode()), wrong
