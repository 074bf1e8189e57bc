"""The tun plane with the real engine and the real kernel."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.live.conftest import INSIDE_GATEWAY, INSIDE_HOST, POOL, PUBLIC, REMOTE, Network, Running
from tests.live.waiting import PATIENCE, eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]


def tcp_server(network: Network, host: str, address: str, port: int) -> socket.socket:
    with network.at(host):
        return socket.create_server((address, port))


def tcp_talk(network: Network, host: str, to: tuple[str, int], server: socket.socket) -> str:
    """Connect and talk both ways; returns the client's address as the server sees it."""
    with network.at(host):
        client = socket.create_connection(to, PATIENCE)
    server.settimeout(PATIENCE)
    with client, closing(server.accept()[0]) as accepted:
        client.sendall(b"ask" * 1000)
        assert accepted.recv(3, socket.MSG_WAITALL) == b"ask"
        accepted.sendall(b"answer")
        assert client.recv(6, socket.MSG_WAITALL) == b"answer"
        return accepted.getpeername()[0]


def udp_socket(
    network: Network, host: str, address: str = "0.0.0.0", port: int = 0
) -> socket.socket:
    with network.at(host):
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    each.settimeout(PATIENCE)
    each.bind((address, port))
    return each


def echo(network: Network, host: str, to: str, ttl: int = 64) -> tuple[str, int]:
    """Ping; returns (who answered, ICMP type of the answer)."""
    with network.at(host):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with raw:
        raw.settimeout(PATIENCE)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        body = struct.pack("!BBHHH", 8, 0, 0, 4711, 1) + b"x" * 48
        total = sum(struct.unpack(f"!{len(body) // 2}H", body)) % 0xFFFF
        raw.sendto(body[:2] + struct.pack("!H", 0xFFFF - total) + body[4:], (to, 0))
        while True:
            packet, (sender, _) = raw.recvfrom(2048)
            kind = packet[(packet[0] & 15) * 4]
            if kind != 8:
                return sender, kind


@pytest.fixture
def running(network: Network, gateway: Start) -> Iterator[Network]:
    process = gateway()
    yield network
    assert process.stop() == ""


def test_a_ping_from_inside_is_answered_by_the_remote_host(running: Network) -> None:
    assert echo(running, "in", REMOTE) == (REMOTE, 0)


def test_datagrams_go_out_by_the_public_address_and_answers_come_back(running: Network) -> None:
    with udp_socket(running, "out", REMOTE, 5000) as server, udp_socket(running, "in") as client:
        client.sendto(b"ask", (REMOTE, 5000))
        asked, sender = server.recvfrom(100)
        assert (asked, sender[0]) == (b"ask", PUBLIC)
        assert 61000 <= sender[1] <= 65095
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer"


def test_fragmented_datagrams_pass_both_ways(running: Network) -> None:
    with udp_socket(running, "out", REMOTE, 5000) as server, udp_socket(running, "in") as client:
        client.sendto(b"a" * 5000, (REMOTE, 5000))
        asked, sender = server.recvfrom(65535)
        assert asked == b"a" * 5000
        server.sendto(b"b" * 6000, sender)
        assert client.recv(65535) == b"b" * 6000


def test_a_tcp_connection_goes_out_by_the_public_address(running: Network) -> None:
    with tcp_server(running, "out", REMOTE, 5000) as server:
        assert tcp_talk(running, "in", (REMOTE, 5000), server) == PUBLIC


def test_a_mebibyte_of_tcp_arrives_as_it_was_sent(running: Network) -> None:
    sent = bytes(range(256)) * 65536
    received = bytearray()

    def take(server: socket.socket) -> None:
        with server.accept()[0] as accepted:
            while part := accepted.recv(1 << 20):
                received.extend(part)

    with tcp_server(running, "out", REMOTE, 5000) as server:
        taker = threading.Thread(target=take, args=(server,))
        taker.start()
        with running.at("in"):
            client = socket.create_connection((REMOTE, 5000), PATIENCE)
        with client:
            client.sendall(sent)
        taker.join(20)
    assert bytes(received) == sent


@pytest.mark.parametrize("port", [80, 8080, 61005])
@pytest.mark.parametrize(("host", "seen_as"), [("out", REMOTE), ("in", INSIDE_HOST)])
def test_the_hosts_own_services_on_its_public_address_stay_reachable(
    network: Network, gateway: Start, port: int, host: str, seen_as: str
) -> None:
    with tcp_server(network, "gw", PUBLIC, port) as server:
        gateway()
        assert tcp_talk(network, host, (PUBLIC, port), server) == seen_as


def test_the_hosts_own_services_get_fragmented_datagrams(running: Network) -> None:
    with udp_socket(running, "gw", PUBLIC, 53) as server, udp_socket(running, "out") as client:
        client.sendto(b"a" * 5000, (PUBLIC, 53))
        asked, sender = server.recvfrom(65535)
        assert asked == b"a" * 5000
        server.sendto(b"b" * 5000, sender)
        assert client.recv(65535) == b"b" * 5000


def test_the_host_answers_pings_on_both_its_addresses(running: Network) -> None:
    assert echo(running, "out", PUBLIC) == (PUBLIC, 0)
    assert echo(running, "in", PUBLIC) == (PUBLIC, 0)
    assert echo(running, "in", INSIDE_GATEWAY) == (INSIDE_GATEWAY, 0)


def test_the_host_itself_can_ping_and_connect_to_both_sides(running: Network) -> None:
    assert echo(running, "gw", REMOTE) == (REMOTE, 0)
    assert echo(running, "gw", INSIDE_HOST) == (INSIDE_HOST, 0)
    with tcp_server(running, "out", REMOTE, 5000) as server:
        assert tcp_talk(running, "gw", (REMOTE, 5000), server) == PUBLIC
    with tcp_server(running, "in", INSIDE_HOST, 5000) as server:
        assert tcp_talk(running, "gw", (INSIDE_HOST, 5000), server) == INSIDE_GATEWAY


def test_the_hosts_own_connections_stay_out_of_the_range(running: Network) -> None:
    with running.at("gw"):
        reserved = Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text()
    assert reserved == "61000-65095\n"


def test_several_ranges_are_given_out_and_the_host_keeps_what_is_between_them(
    network: Network, gateway: Start
) -> None:
    """As "auto" is, but smaller, so that a few flows use every range."""
    gateway(ports="1024-1031, 61000-61003", limits={"ports_per_host": 12})
    with network.at("gw"):
        reserved = Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text()
    assert reserved == "1024-1031,61000-61003\n"
    seen = set()
    with udp_socket(network, "out", REMOTE, 5000) as server, ExitStack() as stack:
        for number in range(12):
            client = stack.enter_context(udp_socket(network, "in"))
            client.sendto(b"%d" % number, (REMOTE, 5000))
            asked, sender = server.recvfrom(100)
            server.sendto(asked, sender)
            assert client.recv(100) == b"%d" % number
            seen.add(sender[1])
        with udp_socket(network, "gw", PUBLIC) as own:
            own.sendto(b"own", (REMOTE, 5000))
            asked, sender = server.recvfrom(100)
            server.sendto(b"answer", sender)
            assert own.recv(100) == b"answer"
            assert 32768 <= sender[1] <= 60999
    assert seen == {*range(1024, 1032), *range(61000, 61004)}


def test_a_forwarded_port_reaches_the_inside_server_from_outside_and_from_inside(
    network: Network, gateway: Start
) -> None:
    gateway(forwards=[["web", 6, 80, INSIDE_HOST, 8080]])
    with tcp_server(network, "in", INSIDE_HOST, 8080) as server:
        assert tcp_talk(network, "out", (PUBLIC, 80), server) == REMOTE
        assert tcp_talk(network, "in", (PUBLIC, 80), server) == PUBLIC


@pytest.mark.row("3022-6.2")
def test_a_pool_address_is_answered_for_by_arp_at_once(network: Network, gateway: Start) -> None:
    gateway(public=POOL, forwards=[["web", 6, 80, INSIDE_HOST, 8080]])
    with tcp_server(network, "in", INSIDE_HOST, 8080) as server:
        assert tcp_talk(network, "out", (POOL, 80), server) == REMOTE
    assert f"{POOL} dev eth lladdr" in network.ip("out", "neigh show")
    with tcp_server(network, "out", REMOTE, 5000) as server:
        assert tcp_talk(network, "in", (REMOTE, 5000), server) == POOL


def test_arp_for_the_hosts_own_address_is_still_answered(running: Network) -> None:
    running.ip("out", "neigh flush dev eth")
    assert echo(running, "out", PUBLIC) == (PUBLIC, 0)


def test_traceroute_shows_the_gateway_once(running: Network) -> None:
    assert echo(running, "in", REMOTE, ttl=1) == (INSIDE_GATEWAY, 11)
    assert echo(running, "in", REMOTE, ttl=2) == (REMOTE, 0)


def test_packets_from_outside_count_the_gateway_as_one_hop(
    network: Network, gateway: Start
) -> None:
    gateway(forwards=[["dns", 17, 53, INSIDE_HOST, 53]])
    with udp_socket(network, "in", INSIDE_HOST, 53) as server:
        server.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
        with udp_socket(network, "out") as client:
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 2)
            client.sendto(b"ask", (PUBLIC, 53))
            _, ancillary, _, _ = server.recvmsg(100, 100)
    assert [struct.unpack("i", value)[0] for _, _, value in ancillary] == [1]


def learned_mtu(network: Network, host: str, to: tuple[str, int]) -> int:
    """What a host believes after it has sent a datagram of 1428 bytes that must not be fragmented."""
    with udp_socket(network, host) as sender:
        sender.connect(to)
        sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        sender.send(b"x" * 1400)
        with pytest.raises(OSError, match="Message too long"):
            sender.recv(1)  # waits for the ICMP error
        return sender.getsockopt(socket.IPPROTO_IP, 14)  # IP_MTU


@pytest.mark.row("4787-13")
def test_inside_hosts_learn_of_a_narrow_outside(network: Network, gateway: Start) -> None:
    network.ip("gw", "link set go mtu 1300")
    gateway()
    assert learned_mtu(network, "in", (REMOTE, 5000)) == 1300


@pytest.mark.row("4787-13a")
def test_datagrams_that_may_be_fragmented_pass_a_narrow_outside(
    network: Network, gateway: Start
) -> None:
    network.ip("gw", "link set go mtu 1300")
    network.ip("out", "link set eth mtu 1300")
    gateway()
    with udp_socket(network, "out", REMOTE, 5000) as server, udp_socket(network, "in") as sender:
        sender.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
        sender.sendto(b"x" * 1400, (REMOTE, 5000))
        assert server.recv(2000) == b"x" * 1400


def test_remote_hosts_learn_of_a_narrow_inside(network: Network, gateway: Start) -> None:
    network.ip("gw", "link set gi mtu 1200")
    gateway(forwards=[["dns", 17, 53, INSIDE_HOST, 53]])
    assert learned_mtu(network, "out", (PUBLIC, 53)) == 1200


def test_the_tun_devices_follow_an_mtu_that_changes(network: Network, gateway: Start) -> None:
    gateway()
    network.ip("gw", "link set go mtu 1280")
    assert eventually(lambda: "mtu 1280" in network.ip("gw", "link show ipmasq-in"))


def test_bulk_tcp_runs_both_ways(running: Network) -> None:
    server = running.start("out", "iperf3", "-s", "-1", "--forceflush")
    try:
        assert server.stdout
        while "listening" not in server.stdout.readline():
            pass
        client = running.start("in", "iperf3", "-c", REMOTE, "-t", "1", "--bidir", "--json")
        said = json.loads(client.communicate(timeout=20)[0])
        assert said["end"]["sum_received"]["bytes"] > 1_000_000
        assert said["end"]["sum_received_bidir_reverse"]["bytes"] > 1_000_000
    finally:
        server.kill()
        server.communicate()
