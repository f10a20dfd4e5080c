from __future__ import annotations

import socket
import sys

import pytest

from ws101.lab.ports import LOOPBACK, free_ports


def test_ports_are_distinct_and_nobody_listens_on_them() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with pytest.raises(ConnectionRefusedError), socket.create_connection((LOOPBACK, port), timeout=1):
            pass


def test_a_server_that_asks_for_the_port_by_number_gets_it() -> None:
    (port,) = free_ports(1)
    with (
        socket.create_server((LOOPBACK, port)) as server,
        socket.create_connection((LOOPBACK, port), timeout=1) as client,
    ):
        assert server.getsockname() == client.getpeername()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a bound port cannot be listened on by another socket")
def test_the_kernel_gives_a_held_port_to_nobody_else() -> None:
    held = set(free_ports(50))
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(300)]
    others = {sock.getsockname()[1] for sock in sockets}
    for sock in sockets:
        sock.close()
    assert not held & others


def test_holding_is_bounded_so_that_open_files_are_too() -> None:
    seen = {port for _ in range(30) for port in free_ports(50)}
    assert len(seen) > 1000
    with socket.socket() as probe:
        assert probe.fileno() < 1000
