from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from tests.probes.peers import DELAY, Events, Peer, Reaction, closing, cutting, deaf, frame, polite
from ws101.probes.close import close
from ws101.probes.core import Data, Eof, Observation, Probe, Verdict
from ws101.probes.echo import echo
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.heartbeat import heartbeat
from ws101.probes.idle import idle, known_figure
from ws101.probes.large import large
from ws101.probes.ping import ping
from ws101.probes.replay import replay

HERE = parse_ws_url("ws://example.com/chat")
PROBES: dict[str, Callable[[], Probe]] = {
    "echo": lambda: echo(HERE),
    "ping": lambda: ping(HERE),
    "close": lambda: close(HERE),
    "idle": lambda: idle(HERE, limit=8),
    "heartbeat": lambda: heartbeat(HERE, listen=4, prune=8),
    "large": lambda: large(HERE, size=100_000),
}


def run(probe: Probe, react: Reaction = polite, *, early: bytes = b"", later: Events = ()) -> tuple[Observation, Peer]:
    peer = Peer(react, early=early, later=later)
    seen, replayed = replay(probe, respond=peer.respond)
    assert replayed.closed
    return seen, peer


def text(data: bytes) -> bytes:
    return frame(Opcode.TEXT, data)


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(Opcode.CLOSE, Close(code, reason).serialize())


# What every probe in a tunnel has in common


@pytest.mark.parametrize("name", PROBES)
def test_a_refused_handshake_fails_every_probe_with_its_own_name(name: str) -> None:
    script = [Data(0.5, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")]
    seen, replayed = replay(PROBES[name](), script)
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, "status")
    assert seen.handshake is not None
    assert seen.handshake.status == 400
    assert replayed.sent.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("name", ["echo", "ping", "close", "idle", "large"])
def test_a_good_server_passes(name: str) -> None:
    seen, peer = run(PROBES[name]())
    assert (seen.verdict, seen.class_) == (Verdict.PASSED, ""), seen.message
    assert [f.opcode for f in peer.frames].count(Opcode.CLOSE) == 1


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize(
    ("early", "class_"),
    [
        (b"\x81\x82abcd\x01\x02", "masked-frame"),
        (b"<!DOCTYPE html><title>App</title>", "html-after-101"),
        (b"\x83\x00", "invalid-frame"),
        (b"\xc1\x02hi", "invalid-frame"),
        (b"\x89\x7e\x00\xff" + bytes(255), "invalid-frame"),
        (b"\x82\x7f\x00\x00\x00\x10\x00\x00\x00\x00", "too-large"),
        (b"\x88\x01\x03", "invalid-frame"),
        (b"\x81\x03\xff\xfe\xfd", "invalid-frame"),
        (b"\x01\x01\xc3\x80\x01x", "invalid-frame"),
    ],
)
def test_what_is_not_a_valid_frame_is_named(name: str, early: bytes, class_: str) -> None:
    seen, _ = run(PROBES[name](), deaf, early=early)
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, class_), seen.message


@pytest.mark.parametrize("name", PROBES)
def test_a_tunnel_cut_without_a_close_frame_is_named(name: str) -> None:
    seen, _ = run(PROBES[name](), cutting, later=[Eof(2)])
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, "cut")


@pytest.mark.parametrize("name", PROBES)
def test_a_reset_is_named(name: str) -> None:
    seen, _ = run(PROBES[name](), deaf, later=[Eof(0.5, "reset")])
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, "reset")


STREAMS = [
    frame(Opcode.PING, b"a") + text(b"welcome") + frame(Opcode.TEXT, b"wel", fin=False) + frame(Opcode.CONT, b"come"),
    text(b"2") + frame(Opcode.PING) + close_frame(1001, "going away"),
    frame(Opcode.PONG, b"ws101-0") + b"\x81\x82abcd\x01\x02",
    b"<html>hello",
    text(b"ws101") + close_frame(4000),
    b"",
]


@given(
    st.sampled_from(sorted(PROBES)),
    st.sampled_from(STREAMS),
    st.booleans(),
    st.sampled_from([polite, deaf, cutting]),
    st.lists(st.integers(1, 12), max_size=12),
)
def test_the_outcome_is_the_same_however_the_bytes_are_cut(
    name: str, stream: bytes, ends: bool, react: Reaction, sizes: list[int]
) -> None:
    def outcome(pieces: list[int]) -> tuple[Observation, bytes]:
        peer = Peer(react, early=stream, later=[Eof(1.5)] if ends else [])

        def respond(at: float, data: bytes) -> list[Data | Eof]:
            return [part for event in peer.respond(at, data) for part in cut(event, pieces)]

        seen, _ = replay(PROBES[name](), respond=respond)
        return seen, b"".join(bytes([f.opcode]) + bytes(f.data) for f in peer.frames)

    assert outcome(sizes) == outcome([])


def cut(event: Data | Eof, sizes: list[int]) -> list[Data | Eof]:
    """An event in pieces that come at the same time."""
    if isinstance(event, Eof):
        return [event]
    parts: list[Data | Eof] = []
    data = event.data
    for size in sizes:
        if data[:size]:
            parts.append(Data(event.at, data[:size]))
        data = data[size:]
    return [*parts, Data(event.at, data)] if data else parts


# echo


def test_another_message_passes_too_and_is_not_called_an_echo() -> None:
    seen, _ = run(echo(HERE), deaf, later=[Data(0.25, text(b"welcome"))])
    assert (seen.verdict, seen.detail("echoed"), seen.detail("seconds")) == (Verdict.PASSED, False, 0.25)


def test_the_echo_is_found_behind_a_greeting() -> None:
    seen, _ = run(echo(HERE), polite, early=text(b"welcome"))
    assert (seen.detail("echoed"), seen.detail("seconds")) == (True, DELAY)


def test_silence_is_undecided_and_never_passed() -> None:
    seen, _ = run(echo(HERE, timeout=2), deaf)
    assert (seen.verdict, seen.class_) == (Verdict.UNDECIDED, "no-echo")


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(1008, Verdict.UNDECIDED), (4001, Verdict.UNDECIDED), (1011, Verdict.FAILED), (1002, Verdict.FAILED)],
)
def test_a_close_frame_instead_of_an_answer_is_the_applications_word(code: int, verdict: Verdict) -> None:
    seen, _ = run(echo(HERE), closing(code, "because"))
    assert (seen.verdict, seen.class_, seen.detail("close_code")) == (verdict, "closed", code)
    assert "because" in seen.message


def test_the_servers_pings_are_answered_meanwhile() -> None:
    _, peer = run(echo(HERE, timeout=2), deaf, early=frame(Opcode.PING, b"are you there"))
    assert (Opcode.PONG, b"are you there") in [(f.opcode, bytes(f.data)) for f in peer.frames]


# ping and close


def test_the_round_trips_are_measured() -> None:
    seen, peer = run(ping(HERE, count=4))
    assert dict(seen.details) == {"pongs": 4, "min": DELAY, "mean": DELAY, "max": DELAY}
    assert [f.opcode for f in peer.frames] == [Opcode.PING] * 4 + [Opcode.CLOSE]


def test_a_server_without_pongs_fails() -> None:
    seen, _ = run(ping(HERE, timeout=1), deaf)
    assert (seen.verdict, seen.class_, seen.detail("pongs")) == (Verdict.FAILED, "no-pong", 0)


def test_a_pong_for_another_ping_does_not_count() -> None:
    seen, _ = run(ping(HERE, timeout=1), deaf, early=frame(Opcode.PONG, b"other"))
    assert seen.class_ == "no-pong"


def test_the_closing_handshake_tells_code_and_time() -> None:
    seen, peer = run(close(HERE, code=3000, reason="bye"))
    assert dict(seen.details) == {"seconds": DELAY, "close_code": 3000, "close_reason": "bye"}
    assert len(peer.frames) == 1


def test_a_server_that_does_not_answer_a_close_frame_fails() -> None:
    seen, _ = run(close(HERE, timeout=1), deaf)
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, "no-close")


# idle


def test_a_cut_after_sixty_seconds_names_whose_default_that_is() -> None:
    seen, _ = run(idle(HERE), deaf, later=[Eof(60.0)])
    assert (seen.verdict, seen.class_) == (Verdict.FAILED, "cut")
    assert (seen.detail("lasted"), seen.detail("silent"), seen.detail("ended")) == (60.0, 60.0, "fin")
    assert "nginx's default proxy_read_timeout" in str(seen.detail("known"))


def test_silence_counts_from_the_last_frame() -> None:
    seen, _ = run(idle(HERE), deaf, later=[Data(4.0, text(b"news")), Eof(6.0)])
    assert (seen.detail("lasted"), seen.detail("silent"), seen.detail("frames")) == (6.0, 2.0, 1)


def test_a_close_frame_is_the_applications_doing_and_no_proxys() -> None:
    seen, _ = run(idle(HERE), deaf, later=[Data(40.0, close_frame(1001)), Eof(40.0)])
    assert (seen.class_, seen.detail("ended"), seen.detail("close_code"), seen.detail("known")) == (
        "closed",
        "close",
        1001,
        "",
    )


def test_a_tunnel_that_stands_at_the_limit_passes() -> None:
    seen, peer = run(idle(HERE, limit=5), polite)
    assert (seen.verdict, seen.detail("lasted"), seen.detail("ended")) == (Verdict.PASSED, 5.0, "open")
    assert seen.detail("answers") is True
    assert [f.opcode for f in peer.frames] == [Opcode.PING, Opcode.CLOSE]


def test_a_tunnel_whose_other_end_answers_nothing_at_the_limit_is_not_called_open() -> None:
    seen, _ = run(idle(HERE, limit=5), deaf)
    assert (seen.verdict, seen.class_, seen.detail("answers")) == (Verdict.UNDECIDED, "no-pong", False)
    assert (seen.detail("lasted"), seen.detail("ended")) == (5.0, "open")


def test_a_tunnel_that_ends_when_it_is_asked_at_the_limit_was_cut() -> None:
    seen, _ = run(idle(HERE, limit=5), cutting)
    assert (seen.verdict, seen.detail("ended")) == (Verdict.FAILED, "fin")


def test_a_server_that_sends_nothing_and_answers_nothing_has_vanished() -> None:
    seen, _ = run(heartbeat(HERE), deaf)
    assert (seen.verdict, seen.class_, seen.detail("answers_pings")) == (Verdict.FAILED, "vanished", False)
    assert seen.detail("answered_first") is False
    assert seen.message == (
        "nothing came, and two pings within 30 s were not answered: the server has vanished or is frozen, or it "
        "ignores pings, and the connection looks open"
    )


def test_a_server_that_answered_a_ping_before_it_fell_silent_has_vanished_for_certain() -> None:
    answered: list[bool] = []

    def once(at: float, sent: Frame) -> Iterable[Data | Eof]:
        if sent.opcode is Opcode.PING and not answered:
            answered.append(True)
            yield Data(at, frame(Opcode.PONG, bytes(sent.data)))

    seen, _ = run(heartbeat(HERE), once)
    assert (seen.class_, seen.detail("answered_first"), seen.detail("answers_pings")) == ("vanished", True, False)
    assert seen.message.startswith("a ping at the opening was answered, and after 30 s none is")


def test_a_server_that_ignores_pings_and_goes_on_talking_has_not_vanished() -> None:
    later = [Data(float(second), text(b"tick")) for second in range(1, 60)]
    seen, _ = run(heartbeat(HERE), deaf, later=later)
    assert (seen.class_, seen.detail("answers_pings")) == ("no-heartbeat", False)
    seen, _ = run(heartbeat(HERE), deaf, later=later[:3])
    assert seen.class_ == "vanished"
    assert seen.message.startswith("nothing came after 3.0 s, and two pings within 30 s were not answered")


def test_pings_of_ours_are_sent_as_often_as_told() -> None:
    seen, peer = run(idle(HERE, limit=5, ping_every=2), polite)
    assert seen.passed
    assert [f.opcode for f in peer.frames] == [Opcode.PING, Opcode.PING, Opcode.PING, Opcode.CLOSE]


@pytest.mark.parametrize(
    ("seconds", "part"), [(59.7, "nginx"), (60.06, "nginx"), (62.0, ""), (50.0, "HAProxy"), (2.0, "")]
)
def test_known_figures_allow_for_lazy_timers(seconds: float, part: str) -> None:
    known = known_figure(seconds)
    assert part in known
    assert bool(known) == bool(part)


# heartbeat


def pinging(every: float, *, patience: float | None, until: float = 200.0) -> tuple[Reaction, list[Data | Eof]]:
    """A server that pings at fixed times, answers pings, and drops a peer (1011) that does not answer in time."""
    times = [every * n for n in range(1, int(until / every))]
    later: list[Data | Eof] = [Data(at, frame(Opcode.PING, b"%g" % at)) for at in times]
    if patience is not None:
        gone = times[2] + patience
        later = [event for event in later if event.at < gone] + [Data(gone, close_frame(1011)), Eof(gone)]
    return polite, sorted(later, key=lambda event: event.at)


def test_a_heartbeat_and_its_interval_and_the_prune_are_found() -> None:
    react, later = pinging(16.0, patience=8.0)
    seen, peer = run(heartbeat(HERE), react, later=later)
    assert seen.passed, seen.message
    found = dict(seen.details)
    assert (found["kind"], found["first"], found["interval"]) == ("ping", 16.0, 16.0)
    assert (found["answers_pings"], found["pruned_after"], found["close_code"]) == (True, 8.0, 1011)
    assert [f.opcode for f in peer.frames] == [Opcode.PING, Opcode.PONG, Opcode.PONG, Opcode.PING]
    assert found["answered_first"] is True


def test_a_server_without_a_heartbeat_fails() -> None:
    seen, _ = run(heartbeat(HERE), polite)
    assert (seen.verdict, seen.class_, seen.detail("kind")) == (Verdict.FAILED, "no-heartbeat", "none")
    assert seen.detail("answers_pings") is True


def test_a_server_that_keeps_dead_peers_fails() -> None:
    react, later = pinging(16.0, patience=None)
    seen, _ = run(heartbeat(HERE), react, later=later)
    assert (seen.verdict, seen.class_, seen.detail("pruned_after")) == (Verdict.FAILED, "no-prune", None)


def test_without_a_prune_limit_a_heartbeat_is_enough() -> None:
    react, later = pinging(16.0, patience=None)
    assert run(heartbeat(HERE, prune=0), react, later=later)[0].passed


@pytest.mark.parametrize(("interval", "class_"), [(45000, "too-short"), (25000, "no-heartbeat")])
def test_a_heartbeat_that_is_announced_for_later_is_not_missing(interval: int, class_: str) -> None:
    opening = text(b'0{"sid":"x","upgrades":[],"pingInterval":%d,"pingTimeout":20000}' % interval)
    seen, _ = run(heartbeat(HERE), polite, later=[Data(0.5, opening)])
    assert (seen.class_, seen.detail("announced")) == (class_, interval / 1000)
    assert seen.verdict is (Verdict.UNDECIDED if class_ == "too-short" else Verdict.FAILED)


def test_the_heartbeat_of_engine_io_is_known_and_answered() -> None:
    later: list[Data | Eof] = [Data(0.5, text(b"0{}")), *(Data(16.0 * n, text(b"2")) for n in (1, 2, 3))]
    later = [*later, Data(52.0, close_frame(1000)), Eof(52.0)]
    seen, peer = run(heartbeat(HERE), deaf, later=later)
    found = dict(seen.details)
    assert (found["kind"], found["interval"], found["answers_pings"], found["pruned_after"]) == (
        "engine.io",
        16.0,
        False,
        4.0,
    )
    assert [bytes(f.data) for f in peer.frames if f.opcode is Opcode.TEXT] == [b"3", b"3"]


# large


def test_a_large_message_goes_both_ways_in_fragments() -> None:
    def fragments(at: float, seen: Frame) -> Events:
        data = bytes(seen.data)
        if seen.opcode is Opcode.BINARY:
            yield Data(at, frame(Opcode.BINARY, data[:1000], fin=False) + frame(Opcode.PING))
            yield Data(at + DELAY, frame(Opcode.CONT, data[1000:]))

    seen, _ = run(large(HERE), fragments)
    assert seen.passed
    assert (seen.detail("size"), seen.detail("seconds")) == (1024 * 1024, DELAY)


def test_a_server_that_refuses_the_size_is_named() -> None:
    seen, _ = run(large(HERE), closing(1009))
    assert (seen.verdict, seen.class_, seen.detail("close_code")) == (Verdict.FAILED, "closed", 1009)


def test_a_message_that_does_not_come_back_is_undecided() -> None:
    seen, _ = run(large(HERE, timeout=2), deaf)
    assert (seen.verdict, seen.class_) == (Verdict.UNDECIDED, "no-echo")
