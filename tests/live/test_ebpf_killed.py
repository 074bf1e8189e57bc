"""What a gateway leaves in the kernel when it is killed, and for how long."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from ipmasq.planes.ebpf.table import GRACE
from tests.live.conftest import PUBLIC, REMOTE, Network, Running, run, says_only_what_it_undid
from tests.live.offloaded_flow import offloaded_flow
from tests.live.test_ebpf import transfer
from tests.live.test_tun import tcp_server, tcp_talk
from tests.live.waiting import PATIENCE, eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]


def filters(network: Network) -> str:
    with network.at("gw"):
        return "".join(run("tc", "filter", "show", "dev", name, "ingress") for name in ("go", "gi"))


def pour(server: socket.socket, over: threading.Event) -> None:
    """Give a client more than it can take."""
    with server.accept()[0] as accepted, suppress(OSError):
        accepted.settimeout(0.1)
        while not over.is_set():
            with suppress(TimeoutError):
                accepted.send(bytes(1 << 16))


def dries_up(client: socket.socket) -> bool:
    """Whether nothing comes any more, soon."""
    client.settimeout(0.5)
    deadline = time.monotonic() + PATIENCE
    with suppress(TimeoutError):
        while time.monotonic() < deadline:
            client.recv(1 << 20)
    return time.monotonic() < deadline


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])
def test_after_a_kill_in_the_middle_of_a_transfer_nothing_is_forwarded_until_the_next_one_starts(
    network: Network, gateway: Start, plane: str
) -> None:
    if plane == "ebpf-xdp":
        for host in ("in", "out"):
            network.features(host, "eth", "tx", "off", "gro", "on")
    first = gateway(plane=plane)
    with tcp_server(network, "out", REMOTE, 5000) as server:
        over = threading.Event()
        pouring = threading.Thread(target=pour, args=(server, over), daemon=True)
        pouring.start()
        with network.at("in"):
            client = socket.create_connection((REMOTE, 5000), PATIENCE)
        with client:
            came = 0
            while came < 1 << 24 and (data := client.recv(1 << 20)):
                came += len(data)
            assert came >= 1 << 24
            assert plane == "tun" or first.ask()["fast"] > 100
            first.stop(signal.SIGKILL)
            assert dries_up(client)
        over.set()
        second = gateway(plane=plane)
        pouring.join()
        transfer(network, server, 1 << 20)
    assert plane == "tun" or second.ask()["fast"] > 10
    assert says_only_what_it_undid(second.stop())


def test_filters_that_a_kill_leaves_behind_let_go_after_the_lease_and_are_removed_by_the_next_one(
    network: Network, gateway: Start
) -> None:
    """Before Linux 6.6, whose links end with the process."""
    first = gateway(plane="ebpf-tc", tcx=False)
    with offloaded_flow(network, first) as flow:
        assert "ipmasq direct-action" in filters(network)
        first.stop(signal.SIGKILL)
        killed = time.monotonic()
        flow.server.settimeout(0.2)
        while flow.ask():
            assert time.monotonic() < killed + GRACE + 2
        assert "ipmasq direct-action" in filters(network)
        with tcp_server(network, "gw", PUBLIC, 80) as own:
            assert tcp_talk(network, "out", (PUBLIC, 80), own) == REMOTE
        second = gateway(plane="ebpf-tc", tcx=False)
        flow.server.settimeout(1)
        assert eventually(flow.ask)
    with offloaded_flow(network, second):
        pass
    assert filters(network).count("ipmasq direct-action") == 2, "one on each interface"
    assert says_only_what_it_undid(second.stop())
    assert filters(network) == ""
