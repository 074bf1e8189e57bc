"""What the fast path leaves alone comes to the engine with its side known, and in the order sent."""

from __future__ import annotations

import socket

import pytest

from tests.live.conftest import PUBLIC, REMOTE, Network, Running
from tests.live.offloaded_flow import offloaded_flow
from tests.live.test_tun import udp_socket

pytestmark = pytest.mark.live

BURST, BURSTS = 50, 5
"""Datagrams sent at once, and how often: fewer in all than a host may send up without a pause."""
NOTHING = b"\1" * 4  # an IP option that says so (RFC 791, 3.1)


@pytest.mark.parametrize(
    ("side", "options"),
    [("in", b""), ("in", NOTHING), ("out", NOTHING)],
    ids=["one-way", "with options out", "with options in"],
)
def test_datagrams_that_stay_with_the_engine_arrive_in_order_while_others_go_by(
    fast: Running, network: Network, side: str, options: bytes
) -> None:
    with (
        offloaded_flow(network, fast) as other,
        udp_socket(network, "out", REMOTE, 5001) as server,
        udp_socket(network, "in") as client,
    ):
        client.sendto(b"open", (REMOTE, 5001))
        public = server.recvfrom(100)[1]
        if options:
            server.sendto(b"so that it settles", public)
            client.recv(100)
        sender, receiver, to = {
            "in": (client, server, (REMOTE, 5001)),
            "out": (server, client, public),
        }[side]
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
        before = fast.ask()
        for burst in range(BURSTS):
            sent = [b"%d" % (burst * BURST + n) for n in range(BURST)]
            for each in sent:
                sender.sendto(each, to)
            assert other.ask()
            assert [receiver.recv(100) for _ in sent] == sent
        after = fast.ask()
        assert after["slow"] - before["slow"] >= BURSTS * BURST
        assert after["fast"] - before["fast"] == 2 * BURSTS
        assert public[0] == PUBLIC
    assert fast.stop() == ""
