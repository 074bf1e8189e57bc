"""An offloaded flow, to see how its packets are forwarded when something around it changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.live.conftest import REMOTE, Network, Running
from tests.live.test_tun import udp_socket
from tests.live.waiting import eventually

PORT = 5000
LOST = 1.0
"""Seconds after which a datagram counts as lost."""


class OffloadedFlow:
    """Datagrams from inside to a remote server and back, one at a time."""

    def __init__(self, client: socket.socket, server: socket.socket, running: Running) -> None:
        self.client, self.server = client, server
        self.running = running
        self.asked = 0

    def ask(self, size: int = 8) -> bool:
        """Whether a datagram is heard and its answer comes back."""
        self.asked += 1
        said = self.asked.to_bytes(8, "big").ljust(size, b"?")
        try:
            self.client.send(said)
            while (heard := self.server.recvfrom(65535))[0] != said:
                pass
            self.server.sendto(said, heard[1])
            while self.client.recv(65535) != said:
                pass
        except TimeoutError:
            return False
        return True

    def by_kernel(self, times: int = 10, size: int = 8) -> int:
        """Of so many questions and answers, all of which must arrive: how many packets the fast path
        forwarded."""
        before = self.running.ask()["fast"]
        for _ in range(times):
            assert self.ask(size)
        return int(self.running.ask()["fast"]) - before

    def goes_by(self) -> bool:
        """Whether it comes to be forwarded in the kernel, both ways. If not, what the gateway knows is printed."""
        if eventually(lambda: self.by_kernel(5) == 10):
            return True
        print(self.running.ask())
        return False


@contextmanager
def offloaded_flow(
    network: Network, running: Running, remote: str = REMOTE
) -> Iterator[OffloadedFlow]:
    with udp_socket(network, "out", remote, PORT) as server, udp_socket(network, "in") as client:
        flow = OffloadedFlow(client, server, running)
        client.connect((remote, PORT))
        for each in (client, server):
            each.settimeout(LOST)
        assert flow.goes_by()
        yield flow


def by_xdp(left: dict[str, int]) -> int:
    """How many of the packets that were forwarded XDP did, where all interfaces have both programs:
    of those that it passed, TC forwarded what it did not leave."""
    passed, left_by_tc = (
        sum(packets for name, packets in left.items() if name.startswith(hook))
        for hook in ("xdp.", "tc.")
    )
    return left["offloaded"] - (passed - left_by_tc)
