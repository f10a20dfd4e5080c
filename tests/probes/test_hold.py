"""One of many: judged as every probe judges, held until its end, whatever the bytes are cut into."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws101.probes.attribution import Answerer
from ws101.probes.core import Data, Eof
from ws101.probes.crowding import Cause, Many, cause_of
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.handshake import SAMPLE_KEY, HandshakeOptions, accept_for
from ws101.probes.hold import Held, Refusal, hold, knock_of
from ws101.probes.replay import Replayed, replay

ENDPOINT = parse_ws_url("ws://example.com/ws?token=topsecret")
GOOD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + accept_for(SAMPLE_KEY).encode() + b"\r\n\r\n"
)
CLOSE = b"\x88\x02\x0f\xa1"


def held(*events: Data | Eof, options: HandshakeOptions | None = None) -> tuple[Held, Replayed, list[float]]:
    opened: list[float] = []
    knock = knock_of(ENDPOINT, options or HandshakeOptions(timeout=5.0))
    result, done = replay(hold(knock, SAMPLE_KEY, opened.append), events)
    return result, done, opened


def test_the_request_is_that_of_every_probe_with_its_own_key() -> None:
    _, done, _ = held(Data(1.0, GOOD), Eof(2.0))
    assert done.sent.startswith(b"GET /ws?token=topsecret HTTP/1.1\r\nHost: example.com\r\n")
    assert f"Sec-WebSocket-Key: {SAMPLE_KEY}\r\n".encode() in done.sent


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((Eof(9.0),), Held(1.0, 9.0, "fin")),
        ((Eof(9.0, "reset"),), Held(1.0, 9.0, "reset")),
        ((Data(9.0, CLOSE),), Held(1.0, 9.0, "close", 4001)),
        ((Data(9.0, b"\x88\x00"),), Held(1.0, 9.0, "close", 1005)),
        ((Data(9.0, b"\x8f\xff"),), Held(1.0, 9.0, "invalid-frame")),
        (
            (Data(2.0, b"\x82\x7e\x01\x00" + bytes(256)), Data(3.0, b"\x81\x02hi"), Data(9.0, CLOSE)),
            Held(1.0, 9.0, "close", 4001),
        ),
        ((), Held(1.0, None, "left")),
    ],
)  # fmt: skip
def test_each_end_has_its_name_and_time(after: tuple[Data | Eof, ...], expected: Held) -> None:
    result, done, opened = held(Data(1.0, GOOD), *after)
    assert result == expected
    assert done.closed
    assert opened == [1.0]


def test_pings_are_answered() -> None:
    _, done, _ = held(Data(1.0, GOOD + b"\x89\x02hi"), Eof(2.0))
    assert done.sent.endswith(b"\x8a\x82\0\0\0\0hi")


UNUSUAL = [
    GOOD.replace(b"Upgrade: websocket", b"UPGRADE:WebSocket").replace(b"n: Upgrade", b"n: a, upgrade"),
    b"HTTP/1.1 103 Early\r\n\r\n" + GOOD,
    GOOD.replace(b"\r\n", b"\r\nX-More: y\r\n", 1),
]  # fmt: skip


@pytest.mark.parametrize("answer", UNUSUAL)
def test_a_good_answer_in_another_form_is_held_too(answer: bytes) -> None:
    result, _, opened = held(Data(1.0, answer + CLOSE))
    assert (result.how, result.code) == ("close", 4001)
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("events", "class_", "status"),
    [
        ((Data(1.0, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),), "status", 503),
        ((Data(1.0, GOOD.replace(b"Accept: ", b"Accept: x")),), "accept-mismatch", 101),
        ((Data(1.0, GOOD.replace(accept_for(SAMPLE_KEY).encode(), accept_for(SAMPLE_KEY).encode().swapcase())),),
         "accept-mismatch", 101),
        ((Data(1.0, GOOD.replace(b"Upgrade: websocket\r\n", b"")),), "missing-upgrade", 101),
        ((Data(1.0, GOOD.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x\r\n\r\n")),),
         "unrequested-extension", 101),
        ((Data(1.0, b"SSH-2.0-x\r\n"),), "not-http", None),
        ((Eof(1.0),), "eof", None),
        ((Data(1.0, b"HTTP/1.1 101"), Eof(2.0, "reset")), "reset", None),
        ((), "timeout", None),
    ],
)  # fmt: skip
def test_a_refusal_has_the_name_it_has_elsewhere(
    events: tuple[Data | Eof, ...], class_: str, status: int | None
) -> None:
    result, done, opened = held(*events)
    assert result.refusal is not None
    assert (result.refusal.class_, result.refusal.status, opened) == (class_, status, [])
    assert "topsecret" not in result.refusal.message
    assert done.closed


def test_a_subprotocol_that_was_offered_must_be_chosen() -> None:
    options = HandshakeOptions(subprotocols=("chat",))
    refused, _, _ = held(Data(1.0, GOOD), options=options)
    assert refused.refusal is not None
    assert refused.refusal.class_ == "missing-subprotocol"
    chosen = GOOD.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
    assert held(Data(1.0, chosen), Eof(2.0), options=options)[0].how == "fin"


STREAMS = [
    GOOD + b"\x89\x02hi\x81\x02ab\x82\x7e\x01\x00" + bytes(256) + CLOSE,
    UNUSUAL[1] + b"\x89\x00" + CLOSE,
    b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nabc",
]


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 600), max_size=6))
def test_however_the_bytes_are_cut_the_outcome_is_the_same(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [Data(1.0, stream[a:b]) for a, b in itertools.pairwise(edges) if a < b]
    one, two = held(Data(1.0, stream)), held(*parts)
    assert one[0] == two[0]
    assert one[1].sent == two[1].sent


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=5), st.booleans())
def test_whatever_comes_it_ends(data: list[bytes], after_101: bool) -> None:
    start = [Data(0.5, GOOD)] if after_101 else []
    result, done, _ = held(*start, *(Data(1.0, item) for item in data), Eof(2.0))
    assert done.closed
    assert (result.refusal is None) == bool(result.how)


def refusal(class_: str, status: int | None = None, who: Answerer = Answerer.NOBODY) -> Refusal:
    return Refusal(class_, "said", status, who)


@pytest.mark.parametrize(
    ("given", "here", "standing", "logged", "name", "confidence"),
    [
        (refusal("open-files"), True, 5, (), "open-files", "proven"),
        (refusal("ephemeral-ports"), True, 5, (), "ephemeral-ports", "proven"),
        (refusal("eof"), False, 5, (), "worker-connections", "likely"),
        (refusal("eof"), False, 0, (), "unknown", "possible"),
        (refusal("status", 500, Answerer.NGINX), False, 5, (), "worker-connections", "likely"),
        (refusal("status", 503, Answerer.NGINX), False, 5, (), "limit-conn", "likely"),
        (refusal("status", 503, Answerer.BACKEND), False, 5, (), "backend", "likely"),
        (refusal("status", 502, Answerer.NGINX), False, 5, (), "backend", "possible"),
        (refusal("timeout"), False, 5, (), "backlog", "possible"),
        (refusal("status", 502, Answerer.NGINX), False, 5,
         ("[crit] connect() failed (99: Cannot assign requested address)",), "ephemeral-ports", "proven"),
        (refusal("status", 503, Answerer.NGINX), False, 5, ('[error] limiting connections by zone "a"',), "limit-conn",
         "proven"),
    ],
)  # fmt: skip
def test_a_failure_has_a_cause(
    given: Refusal, here: bool, standing: int, logged: tuple[str, ...], *, name: str, confidence: str
) -> None:
    cause = cause_of(given, here=here, standing=standing, logged=logged)
    assert (cause.name, cause.confidence) == (name, confidence)
    assert isinstance(cause, Cause)


def test_only_all_of_them_to_the_end_is_good() -> None:
    def many(opened: int, held: int) -> Many:
        return Many(5, 5, opened, opened, held, 1.0, (), None, (), ())

    assert many(5, 5).good
    assert not many(4, 4).good
    assert not many(5, 4).good
    assert many(5, 5).rate == 5.0
