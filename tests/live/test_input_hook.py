"""What the host's input rules see of packets for the host itself that have been to the engine."""

from __future__ import annotations

import errno
import logging
import re
import socket
import threading
import time
from collections.abc import Callable

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.planes.tun.reentry import open_reentry
from ipmasq.planes.tun.steering import HOST_DEVICE
from tests.live.conftest import PUBLIC, REMOTE, Network, Running, run
from tests.live.firewalls import begin, load
from tests.live.test_tun import echo, tcp_talk, udp_socket

pytestmark = pytest.mark.live

Start = Callable[..., Running]

PORTS = "1024-32767"
CLOSED, PUBLISHED, BEFORE = 20000, 20001, 20002
BURST = 3000
PATIENCE = 1.5
"""Seconds in which a SYN is repeated once."""

ALL_BUT_OUTSIDE = f"""
table inet filter {{
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname != "go" accept
    iifname "go" tcp dport {PUBLISHED} accept
    iifname "go" udp dport {PUBLISHED} accept
  }}
}}
"""
OUTSIDE_DROPPED = f"""
table inet filter {{
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "go" tcp dport {PUBLISHED} accept
    iifname "go" udp dport {PUBLISHED} accept
    iifname "go" drop
  }}
}}
"""
OUTSIDE_ACCEPTED = f"""
table inet filter {{
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "go" icmp type echo-request accept
    iifname "go" tcp dport {PUBLISHED} accept
    iifname "go" udp dport {PUBLISHED} accept
  }}
}}
"""
UNMARKED = """
table inet mangle {
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iifname "go" udp dport 20000 counter meta mark set 0
  }
}
"""


@pytest.fixture(params=["tun", "ebpf-tc", "ebpf-xdp"])
def running(request: pytest.FixtureRequest, network: Network, gateway: Start) -> Running:
    return begin(network, gateway, request.param, ports=PORTS)


def service(network: Network, port: int) -> socket.socket:
    with network.at("gw"):
        return socket.create_server(("0.0.0.0", port))


def is_reached(network: Network, port: int) -> bool:
    """Whether a service that has just been started is reached from outside."""
    with service(network, port) as server:
        try:
            return tcp_talk(network, "out", (PUBLIC, port), server) == REMOTE
        except TimeoutError:
            return False


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.live.test_tun.PATIENCE", PATIENCE)


@pytest.mark.parametrize("rules", [ALL_BUT_OUTSIDE, OUTSIDE_DROPPED], ids=["accept", "drop"])
def test_a_new_service_that_the_input_rules_close_to_the_outside_is_never_reached(
    network: Network, running: Running, rules: str
) -> None:
    assert is_reached(network, BEFORE)
    load(network, rules)
    assert is_reached(network, PUBLISHED)
    assert not is_reached(network, CLOSED)
    with udp_socket(network, "out") as client:
        for port, reached in ((PUBLISHED, True), (CLOSED, False)):
            with udp_socket(network, "gw", "0.0.0.0", port) as server:
                server.settimeout(PATIENCE)
                client.sendto(b"ask", (PUBLIC, port))
                if reached:
                    assert server.recv(10) == b"ask"
                    continue
                with pytest.raises(TimeoutError):
                    server.recv(10)


@pytest.mark.parametrize("rules", [ALL_BUT_OUTSIDE, OUTSIDE_DROPPED], ids=["accept", "drop"])
def test_pings_to_the_public_address_are_judged_by_the_interface_that_they_came_in_by(
    network: Network, running: Running, rules: str
) -> None:
    assert echo(network, "out", PUBLIC) == (PUBLIC, 0)
    load(network, rules)
    with pytest.raises(TimeoutError):
        echo(network, "out", PUBLIC)


def test_what_is_accepted_from_the_outside_interface_alone_is_reached_at_once(
    network: Network, running: Running
) -> None:
    load(network, OUTSIDE_ACCEPTED)
    assert is_reached(network, PUBLISHED)
    assert echo(network, "out", PUBLIC) == (PUBLIC, 0)
    with (
        udp_socket(network, "gw", "0.0.0.0", PUBLISHED) as server,
        udp_socket(network, "out") as client,
    ):
        client.sendto(b"ask", (PUBLIC, PUBLISHED))
        assert server.recv(10) == b"ask"


def test_a_datagram_in_fragments_reaches_a_new_socket_of_the_hosts(
    network: Network, running: Running
) -> None:
    load(network, OUTSIDE_ACCEPTED)
    with (
        udp_socket(network, "gw", "0.0.0.0", PUBLISHED) as server,
        udp_socket(network, "out") as client,
    ):
        for size in (60000, 65507):
            client.sendto(b"a" * size, (PUBLIC, PUBLISHED))
            assert server.recv(65535) == b"a" * size


def test_a_bulk_of_data_reaches_a_connection_of_the_hosts_own_from_a_new_port(
    network: Network, running: Running
) -> None:
    size = 4 << 20
    with network.at("out"):
        server = socket.create_server((REMOTE, 5000))
    with network.at("gw"):
        client = socket.create_connection((REMOTE, 5000), 5, (PUBLIC, 20000))
    received = 0
    with client, server, server.accept()[0] as accepted:
        giver = threading.Thread(target=accepted.sendall, args=(bytes(size),))
        giver.start()
        while received < size and (part := client.recv(1 << 20)):
            received += len(part)
        giver.join()
    assert received == size


def test_a_kernel_that_cannot_redirect_is_told_of_and_nothing_is_left_behind(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise NetlinkError(errno.ENOENT, "TC classifier not found")

    caplog.set_level(logging.WARNING, "ipmasq")
    with network.at("gw"), IPRoute() as kernel, pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "tc", refuse, raising=False)
        assert open_reentry(kernel, "go") is None
        assert not kernel.link_lookup(ifname=HOST_DEVICE)
    assert "for the host itself pass its input hook as from ipmasq-out: " in caplog.text
    with network.at("gw"), IPRoute() as kernel:
        reentry = open_reentry(kernel, "go")
        assert reentry is not None
        assert kernel.link_lookup(ifname=HOST_DEVICE)
        reentry.close()
        assert not kernel.link_lookup(ifname=HOST_DEVICE)


def test_a_packet_whose_mark_a_rule_removes_is_dropped_instead_of_going_round(
    network: Network, gateway: Start
) -> None:
    running = begin(network, gateway, "tun", ports=PORTS)
    with (
        udp_socket(network, "gw", "0.0.0.0", BEFORE) as server,
        udp_socket(network, "out") as client,
    ):
        client.sendto(b"ask", (PUBLIC, BEFORE))
        assert server.recv(10) == b"ask"
    load(network, UNMARKED)
    with (
        udp_socket(network, "gw", "0.0.0.0", CLOSED) as server,
        udp_socket(network, "out") as client,
    ):
        server.settimeout(PATIENCE)
        client.sendto(b"ask", (PUBLIC, CLOSED))
        with pytest.raises(TimeoutError):
            server.recv(10)
    with network.at("gw"):
        assert "counter packets 2 " in run("nft", "list", "ruleset")
    assert "removes the mark 0x10000000" in running.stop()


def test_a_burst_of_packets_whose_mark_a_rule_removes_goes_round_once_at_most(
    network: Network, gateway: Start
) -> None:
    """More than the queues between hold, each with a time to live for many rounds."""
    begin(network, gateway, "tun", ports=PORTS)
    load(network, UNMARKED)
    with (
        udp_socket(network, "gw", "0.0.0.0", CLOSED),
        udp_socket(network, "out") as client,
    ):
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        for number in range(BURST):
            client.sendto(number.to_bytes(4, "big"), (PUBLIC, CLOSED))
        before, seen = -1, 0
        for _ in range(40):
            if seen == before:
                break
            time.sleep(0.5)
            before, seen = seen, _counted(network)
    assert BURST / 2 < seen <= 2 * BURST


def _counted(network: Network) -> int:
    with network.at("gw"):
        found = re.search(r"counter packets (\d+)", run("nft", "list", "ruleset"))
    assert found
    return int(found[1])
