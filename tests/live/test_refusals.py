"""Real stacks hear what the gateway says of refused packets: programs fail at once instead of hanging."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.live.conftest import INSIDE_GATEWAY, REMOTE, Network, Running, says_only_what_it_undid
from tests.live.test_tun import tcp_server, tcp_talk, udp_socket
from tests.live.waiting import PATIENCE

pytestmark = pytest.mark.live

IP_RECVERR = 11
"""<linux/in.h>: have soft errors reported too."""

PLANES = pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])


@PLANES
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_after_a_start_without_state_clients_are_reset_when_they_go_on(
    network: Network, gateway: Callable[..., Running], plane: str, how: signal.Signals
) -> None:
    running = gateway(plane=plane)
    with tcp_server(network, "out", REMOTE, 5000) as server:
        with network.at("in"):
            client = socket.create_connection((REMOTE, 5000), PATIENCE)
        server.settimeout(PATIENCE)
        with client, closing(server.accept()[0]) as accepted:
            client.sendall(b"before")
            assert accepted.recv(6, socket.MSG_WAITALL) == b"before"
            running.stop(how)
            running = gateway(plane=plane)
            # It may have been reset already, if it repeated what nobody acknowledged through the gateway.
            with pytest.raises(ConnectionResetError):
                _go_on(client)
        assert tcp_talk(network, "in", (REMOTE, 5000), server)
    said = running.stop()
    assert says_only_what_it_undid(said) if how is signal.SIGKILL else said == ""


def _go_on(client: socket.socket) -> None:
    client.sendall(b"after")
    client.recv(1)


@PLANES
@pytest.mark.row("5508-8", "6888-11b")
def test_a_connection_for_which_there_is_no_port_is_refused_at_once(
    network: Network, gateway: Callable[..., Running], plane: str
) -> None:
    running = gateway(plane=plane, ports="61000")
    with (
        tcp_server(network, "out", REMOTE, 5000) as server,
        network.at("in"),
        socket.create_connection((REMOTE, 5000), PATIENCE),
        closing(server.accept()[0]),
    ):
        with pytest.raises(OSError, match="No route to host") as refused:
            socket.create_connection((REMOTE, 5000), PATIENCE)
        assert refused.value.errno == errno.EHOSTUNREACH
    assert "no public port is free" in running.stop()


@PLANES
@pytest.mark.row("6888-11b")
def test_a_datagram_for_which_there_is_no_port_is_refused_by_the_gateway_itself(
    network: Network, gateway: Callable[..., Running], plane: str
) -> None:
    gateway(plane=plane, ports="61000")
    with (
        udp_socket(network, "out", REMOTE, 5000) as server,
        udp_socket(network, "in") as first,
        udp_socket(network, "in") as second,
    ):
        first.sendto(b"ask", (REMOTE, 5000))
        assert server.recv(100) == b"ask"
        second.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        second.sendto(b"ask", (REMOTE, 5000))
        with pytest.raises(OSError, match="No route to host"):
            second.recv(100)
        _, ancillary, _, about = second.recvmsg(100, 200, socket.MSG_ERRQUEUE)
        assert about == (REMOTE, 5000)
        (told,) = (value for *_, value in ancillary)
        assert told[4:7] == bytes((2, 3, 1)), "of ICMP, type 3, code 1"
        assert told[20:24] == socket.inet_aton(INSIDE_GATEWAY)
