"""Fragments with DF, between real stacks: what is put together at the gateway is taken apart again."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ipmasq.wire.addresses import to_address
from tests.conformance import packets
from tests.conformance.packets import DF, MF
from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.test_tun import udp_socket

pytestmark = pytest.mark.live

PAYLOAD = bytes(range(250)) * 12


@contextmanager
def raw(network: Network, host: str) -> Iterator[socket.socket]:
    """A socket that sends IP packets as they are."""
    with network.at(host):
        each = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with each:
        yield each


def send_in_fragments(
    network: Network, host: str, source: tuple[str, int], to: tuple[str, int], number: int
) -> None:
    """All with DF, and of at most 1,000 bytes of payload."""
    ends = to_address(source[0]), source[1], to_address(to[0]), to[1]
    whole = packets.udp(*ends, PAYLOAD, fragment=DF, identification=number)
    with raw(network, host) as sender:
        for piece in packets.fragments(whole, 1000, 800, 1000):
            sender.sendto(piece, (to[0], 0))


def watch(network: Network, host: str) -> socket.socket:
    """What arrives at the interface of a host, from the IP header on."""
    with network.at(host):
        each = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    each.bind(("eth", 0x0800))
    each.settimeout(5)
    return each


def fragments_of(watched: socket.socket, source: str) -> list[bytes]:
    """Those of the first datagram from there."""
    found: list[bytes] = []
    while not found or int.from_bytes(found[-1][6:8], "big") & MF:
        data = watched.recv(65535)
        if data[12:16] == to_address(source) and int.from_bytes(data[6:8], "big") & 0x3FFF:
            found.append(data)
    return found


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
@pytest.mark.parametrize("mtu", [1500, 1100])
@pytest.mark.row("4787-14")
def test_a_datagram_in_fragments_with_df_arrives(
    network: Network, gateway: Callable[..., Running], plane: str, mtu: int
) -> None:
    network.ip("gw", f"link set go mtu {mtu}")
    running = gateway(plane=plane)
    with (
        udp_socket(network, "out", REMOTE, 5000) as server,
        udp_socket(network, "in", INSIDE_HOST, 6000) as client,
        watch(network, "out") as there,
        watch(network, "in") as here,
    ):
        client.sendto(b"first", (REMOTE, 5000))
        _, seen = server.recvfrom(100)
        send_in_fragments(network, "in", (INSIDE_HOST, 6000), (REMOTE, 5000), 1)
        assert server.recvfrom(65535) == (PAYLOAD, seen)
        _show_df(fragments_of(there, PUBLIC))
        send_in_fragments(network, "out", (REMOTE, 5000), seen, 2)
        assert client.recvfrom(65535) == (PAYLOAD, (REMOTE, 5000))
        _show_df(fragments_of(here, REMOTE))
    assert running.stop() == ""


def _show_df(pieces: list[bytes]) -> None:
    assert [len(piece) for piece in pieces] == [1020, 1020, 1020, 28]
    assert all(int.from_bytes(piece[6:8], "big") & DF for piece in pieces)
