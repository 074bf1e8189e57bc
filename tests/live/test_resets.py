"""A reset is one only if its connection was not over."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Callable

import pytest

from tests.hostile.packets import ACK, FIN, RST, Facts
from tests.live.conftest import INSIDE_HOST, REMOTE, Network, Running
from tests.live.resets import Endings, counted, no_resets
from tests.live.test_tun import tcp_server
from tests.live.waiting import PATIENCE, eventually

pytestmark = pytest.mark.live

CLIENT, SERVER = ("10.0.0.2", 4000), ("203.0.113.2", 20)
LAST = 0xFFFFFFFF


def said(by: tuple[str, int], flags: int, seq: int, ack: int, payload: bytes = b"") -> Facts:
    return Facts(6, by, SERVER if by == CLIENT else CLIENT, payload, flags, seq, ack)


@pytest.mark.parametrize(
    ("fins", "position", "is_over"),
    [
        ([said(SERVER, FIN | ACK, 100, 7, b"ab"), said(CLIENT, FIN | ACK, 7, 103)], 8, True),
        ([said(SERVER, FIN | ACK, LAST, 7), said(CLIENT, FIN | ACK, LAST, 0)], 0, True),
        ([said(SERVER, FIN | ACK, 100, 7, b"ab"), said(CLIENT, FIN | ACK, 7, 103)], 7, True),
        ([said(CLIENT, FIN | ACK, 7, 102), said(SERVER, FIN | ACK, 102, 7)], 8, True),
        ([said(SERVER, FIN | ACK, 100, 7, b"ab"), said(CLIENT, FIN | ACK, 7, 103)], 6, False),
        ([said(SERVER, FIN | ACK, 100, 7, b"ab"), said(CLIENT, FIN | ACK, 7, 103)], 9, False),
        ([said(CLIENT, FIN | ACK, 7, 103)], 8, False),
        ([said(SERVER, FIN | ACK, 100, 7, b"ab")], 8, False),
        ([], 8, False),
    ],
)
def test_a_connection_is_over_once_both_have_ended_it(
    fins: list[Facts], position: int, is_over: bool
) -> None:
    endings = Endings()
    for each in fins:
        endings.note(each)
    assert endings.is_over(said(CLIENT, RST, position, 0)) is is_over


def connected(network: Network) -> tuple[socket.socket, socket.socket]:
    """A connection from inside to a remote server: both ends."""
    with tcp_server(network, "out", REMOTE, 5000) as listening:
        with network.at("in"):
            client = socket.create_connection((REMOTE, 5000), PATIENCE)
        return client, listening.accept()[0]


def reset(network: Network, host: str) -> None:
    """One end resets a connection."""
    client, server = connected(network)
    one, other = (client, server) if host == "in" else (server, client)
    with no_resets(network), one, other:
        other.settimeout(PATIENCE)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
        with pytest.raises(ConnectionResetError):
            other.recv(1)


@pytest.mark.parametrize(("host", "address"), [("in", INSIDE_HOST), ("out", REMOTE)])
def test_a_reset_is_found_at_both_ends(
    network: Network, gateway: Callable[..., Running], host: str, address: str
) -> None:
    gateway()
    with pytest.raises(AssertionError) as caught:
        reset(network, host)
    sent, *counters = str(caught.value).splitlines()
    assert sent.startswith(f"sent by {address}:")
    assert counters == ["EstabResets of in: 0 -> 1", "EstabResets of out: 0 -> 1"]


def test_an_answer_to_what_comes_when_all_is_over_is_none(
    network: Network, gateway: Callable[..., Running]
) -> None:
    """The last FIN waits in a gateway that is busy until it is sent again."""
    running = gateway()
    client, server = connected(network)
    with no_resets(network):
        server.close()
        assert client.recv(1) == b""
        running.process.send_signal(signal.SIGSTOP)
        before = counted(network, "in", "RetransSegs")
        client.close()
        assert eventually(lambda: counted(network, "in", "RetransSegs") > before)
        running.process.send_signal(signal.SIGCONT)
        assert eventually(lambda: counted(network, "in", "OutRsts") == 1)
    assert running.stop() == ""
