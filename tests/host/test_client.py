"""A conversation on a real socket: both directions at once, floods, silence, and every kind of end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ws101.host.client import Talk, open_talk
from ws101.host.dial import Network
from ws101.http1 import Request, decode_request
from ws101.lab.backends import EchoApp, Recorder, accept, plain
from ws101.lab.ports import free_ports
from ws101.probes.endpoint import parse_ws_url
from ws101.probes.frames import Seen
from ws101.probes.handshake import ORDINARY
from ws101.probes.talk import Act

NETWORK = Network(timeout=5.0)


class Heard:
    """What came, in order."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.changed = threading.Condition()

    def __call__(self, seen: Seen) -> None:
        with self.changed:
            self.seen.append(seen)
            self.changed.notify_all()

    def wait(self, n: int) -> list[Seen]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.seen) >= n, 20.0), f"{len(self.seen)} of {n}"
            return list(self.seen)


def talk_to(port: int) -> Talk:
    seen, talk = open_talk(parse_ws_url(f"ws://127.0.0.1:{port}/"), ORDINARY, NETWORK)
    assert talk is not None, seen.message
    return talk


@contextmanager
def talking(port: int) -> Iterator[tuple[Talk, Heard]]:
    talk, heard = talk_to(port), Heard()
    talk.start(heard, lambda: None)
    try:
        yield talk, heard
    finally:
        talk.do(None)
        talk.finish()


def after_101(sent: bytes) -> Recorder:
    """A server that sends this right after its 101."""

    def answer(request: Request) -> bytes:
        return accept(request) + sent

    return Recorder(answer)


def test_messages_and_pings_come_back_in_order_and_the_end_is_in_good_order() -> None:
    with EchoApp() as app:
        with talking(app.port) as (talk, heard):
            for act in (Act("text", b"a"), Act("binary", b"\x00"), Act("ping", b"p"), Act("text", b"b")):
                assert talk.do(act)
            kinds = [(seen.kind, seen.data) for seen in heard.wait(4)]
            assert sorted(kinds) == [("binary", b"\0"), ("pong", b"p"), ("text", b"a"), ("text", b"b")]
        assert talk.ending is not None
        assert (talk.ending.how, talk.ending.code) == ("close", 1000)
        assert not talk.do(Act("text", b"too late"))


def test_what_comes_with_the_101_is_shown() -> None:
    with after_101(b"\x81\x02hi") as server, talking(server.port) as (_, heard):
        assert heard.wait(1)[0].data == b"hi"


def test_thousands_of_small_messages_and_a_large_one_pass_while_the_echo_comes_back() -> None:
    large = bytes(range(256)) * 4096
    with EchoApp() as app, talking(app.port) as (talk, heard):
        for number in range(3000):
            talk.do(Act("text", b"%d" % number))
        talk.do(Act("binary", large[: 1 << 20]))
        seen = heard.wait(3001)
    assert [item.data for item in seen[:3000]] == [b"%d" % number for number in range(3000)]
    assert seen[3000].data == large[: 1 << 20]


def test_a_server_that_sends_while_it_does_not_read_does_not_stop_us() -> None:
    """It sends 8 MiB before it reads anything; we send as much meanwhile."""
    frame = b"\x82\x7f" + (1 << 20).to_bytes(8, "big") + bytes(1 << 20)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(65536)
            sock.sendall(accept(decode_request(head)))
            for _ in range(8):
                sock.sendall(frame)
            got = 0
            while got < 8 << 20:
                got += len(sock.recv(1 << 20))
            sock.sendall(b"\x81\x04done\x88\x02\x03\xe8")
            sock.settimeout(5)
            while sock.recv(65536):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with talking(listener.getsockname()[1]) as (talk, heard):
            for _ in range(8):
                talk.do(Act("binary", bytes(1 << 20)))
            assert heard.wait(9)[8].data == b"done"
    finally:
        listener.close()
        thread.join(10)


@pytest.mark.parametrize(
    ("sent", "how", "code"),
    [
        (b"\x88\x05\x0f\xa1bye", "close", 4001),
        (b"\x88\x00", "close", 1005),
        (b"\xff\xff", "invalid-frame", None),
        (b"\x81\x82\x00\x00\x00\x00hi", "masked-frame", None),
        (b"<html>", "html-after-101", None),
        (b"\x82\x7f\x00\x00\x00\x00\x40\x00\x00\x00", "too-large", None),
    ],
)
def test_every_end_has_its_name(sent: bytes, how: str, code: int | None) -> None:
    with after_101(sent) as server:
        talk = talk_to(server.port)
        over = threading.Event()
        talk.start(Heard(), over.set)
        assert over.wait(5)
        ending = talk.finish()
    assert ending is not None
    assert (ending.how, ending.code) == (how, code)


def test_a_cut_tunnel_is_a_cut() -> None:
    with EchoApp(drop_after=1) as app:
        talk = talk_to(app.port)
        talk.start(Heard(), lambda: None)
        talk.do(Act("text", b"x"))
        assert talk.wait(5)
        ending = talk.finish()
    assert ending is not None
    assert ending.how in ("fin", "reset")


def test_a_server_that_does_not_answer_the_close_frame_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ws101.host.client._CLOSE_LIMIT", 0.2)
    silent = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = silent.accept()
        sock.sendall(accept(decode_request(sock.recv(65536))))
        time.sleep(1.0)
        sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    talk = talk_to(silent.getsockname()[1])
    talk.start(Heard(), lambda: None)
    talk.do(None)
    assert talk.finish() is None
    silent.close()
    thread.join(5)


def test_quiet_waits_for_what_still_comes_and_no_longer() -> None:
    with EchoApp() as app, talking(app.port) as (talk, heard):
        talk.do(Act("text", b"x"))
        begin = time.monotonic()
        talk.quiet(0.3)
        assert 0.25 < time.monotonic() - begin < 3
        assert len(heard.seen) == 1


def test_what_cannot_be_shown_ends_the_conversation_and_reaches_the_caller() -> None:
    def show(seen: Seen) -> None:
        raise BrokenPipeError

    with EchoApp() as app:
        talk = talk_to(app.port)
        talk.start(show, lambda: None)
        talk.do(Act("text", b"x"))
        assert talk.wait(5)
        with pytest.raises(BrokenPipeError):
            talk.finish()


def test_a_refused_handshake_and_a_closed_port_are_observations() -> None:
    with Recorder(plain(400, "Bad Request", "no")) as server:
        seen, talk = open_talk(parse_ws_url(f"ws://127.0.0.1:{server.port}/"), ORDINARY, NETWORK)
        assert (seen.class_, talk) == ("status", None)
    (port,) = free_ports(1)
    seen, talk = open_talk(parse_ws_url(f"ws://127.0.0.1:{port}/"), ORDINARY, NETWORK)
    assert (seen.class_, talk) == ("refused", None)
