"""The fast path with the real engine, the real kernel and real sockets."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.live.conftest import (
    INSIDE_HOST,
    PUBLIC,
    REMOTE,
    Network,
    Running,
    run,
    says_only_what_it_undid,
)
from tests.live.test_tun import echo, tcp_server, tcp_talk, udp_socket
from tests.live.waiting import PATIENCE, eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]

CONNECTIONS = 50


def transfer(network: Network, server: socket.socket, size: int) -> None:
    """So many bytes from a remote server to a client inside."""
    sent = bytes(range(256)) * (size // 256)

    def give() -> None:
        with server.accept()[0] as accepted:
            accepted.sendall(sent)

    giver = threading.Thread(target=give)
    giver.start()
    with network.at("in"):
        client = socket.create_connection((REMOTE, 5000), 5)
    received = bytearray()
    with client:
        while part := client.recv(1 << 20):
            received += part
    giver.join()
    assert received == sent


def test_an_established_connection_goes_by_in_the_kernel(fast: Running, network: Network) -> None:
    with tcp_server(network, "out", REMOTE, 5000) as server:
        transfer(network, server, 1 << 24)
    facts = fast.ask()
    assert facts["plane"].startswith("ebpf")
    assert facts["fast"] > 10 * facts["slow"]
    assert facts["left"]["offloaded"] == facts["fast"]
    assert facts["left"]["tc.flags"] >= 4
    assert fast.stop() == ""


def test_datagrams_go_by_in_the_kernel_and_are_counted_truly(
    fast: Running, network: Network
) -> None:
    with udp_socket(network, "out", REMOTE, 5000) as server, udp_socket(network, "in") as client:
        for _ in range(100):
            client.sendto(b"ask", (REMOTE, 5000))
            asked, sender = server.recvfrom(100)
            assert (asked, sender[0]) == (b"ask", PUBLIC)
            server.sendto(b"answer", sender)
            assert client.recv(100) == b"answer"
    facts = fast.ask()
    assert facts["flows"] == [["SEEN_REPLY", None, 100, 100]]
    assert facts["slow"] == 2
    assert facts["fast"] == 198
    assert fast.stop() == ""


def test_of_a_new_connection_only_the_syn_and_its_answer_go_through_the_engine(
    fast: Running, network: Network
) -> None:
    """Whatever else did would be overtaken by what is said of it on an offloaded connection."""
    with ExitStack() as kept, tcp_server(network, "out", REMOTE, 5000) as server:
        for _ in range(CONNECTIONS):
            with network.at("in"):
                client = kept.enter_context(socket.create_connection((REMOTE, 5000), 5))
            accepted = kept.enter_context(server.accept()[0])
            accepted.sendall(b"hello")
            assert client.recv(100) == b"hello"
        facts = fast.ask()
        assert facts["slow"] == 2 * CONNECTIONS
        assert facts["fast"] >= 2 * CONNECTIONS
    assert fast.stop() == ""


def test_a_flow_that_lives_in_the_kernel_is_not_buried(network: Network, gateway: Start) -> None:
    running = gateway(plane="ebpf-tc", timeouts={"udp": 2.0})
    with udp_socket(network, "out", REMOTE, 5000) as server, udp_socket(network, "in") as client:
        senders = set()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            client.sendto(b"ask", (REMOTE, 5000))
            _, sender = server.recvfrom(100)
            senders.add(sender)
            server.sendto(b"answer", sender)
            client.recv(100)
            time.sleep(0.2)
    assert len(senders) == 1
    assert running.ask()["slow"] < 10
    assert eventually(lambda: not running.ask()["flows"])
    assert running.ask()["entered"] == 0
    assert running.stop() == ""


def test_checksums_that_the_sender_left_unfinished_arrive_right(
    network: Network, gateway: Start
) -> None:
    """Without offload on the way out, the kernel finishes them there, and the receiver checks."""
    for interface in ("go", "gi"):
        network.features("gw", interface, "tx", "off")
    running = gateway(plane="ebpf-tc")
    with tcp_server(network, "out", REMOTE, 5000) as server:
        transfer(network, server, 1 << 20)
    with udp_socket(network, "out", REMOTE, 5001) as server, udp_socket(network, "in") as client:
        for _ in range(3):
            client.sendto(b"ask", (REMOTE, 5001))
            server.sendto(b"answer", server.recvfrom(100)[1])
            assert client.recv(100) == b"answer"
    for host in ("in", "out"):
        with network.at(host):
            counted = run("nstat", "-asz", "TcpInCsumErrors", "UdpInCsumErrors")
        assert {line.split()[1] for line in counted.splitlines()[1:]} == {"0"}
    assert running.ask()["fast"] > 10
    assert running.stop() == ""


def test_closed_connections_leave_the_kernel(fast: Running, network: Network) -> None:
    with tcp_server(network, "out", REMOTE, 5000) as server:
        for _ in range(20):
            assert tcp_talk(network, "in", (REMOTE, 5000), server) == PUBLIC
    assert eventually(lambda: fast.ask()["entered"] == 0)
    assert fast.stop() == ""


def test_a_published_server_is_reached_in_the_kernel(network: Network, gateway: Start) -> None:
    running = gateway(plane="ebpf-tc", forwards=[["web", 6, 80, INSIDE_HOST, 8080]])
    with tcp_server(network, "in", INSIDE_HOST, 8080) as inside:
        assert tcp_talk(network, "out", (PUBLIC, 80), inside) == REMOTE
    assert running.ask()["fast"] > 0
    assert running.stop() == ""


def test_a_killed_gateway_leaves_no_program_and_the_next_one_works(
    network: Network, gateway: Start
) -> None:
    first = gateway(plane="ebpf-tc")
    with udp_socket(network, "out", REMOTE, 5000) as server, udp_socket(network, "in") as client:

        def asked() -> bool:
            client.sendto(b"ask", (REMOTE, 5000))
            try:
                return bool(server.recvfrom(100))
            except TimeoutError:
                return False

        for _ in range(3):
            assert asked()
        first.stop(signal.SIGKILL)
        server.settimeout(0.3)
        assert not asked()
        second = gateway(plane="ebpf-tc")
        server.settimeout(PATIENCE)
        assert asked()
    assert says_only_what_it_undid(second.stop())


def test_a_second_gateway_here_is_refused(network: Network, gateway: Start) -> None:
    first = gateway(plane="ebpf-tc")
    with pytest.raises(AssertionError, match="running already"):
        gateway(plane="ebpf-tc")
    with udp_socket(network, "out", REMOTE, 5000) as server, udp_socket(network, "in") as client:
        client.sendto(b"ask", (REMOTE, 5000))
        assert server.recvfrom(100)
    assert first.stop() == ""


def test_an_interface_that_comes_back_gets_its_program_again(
    network: Network, gateway: Start
) -> None:
    running = gateway(plane="ebpf-tc")
    network.ip("gw", "link del go")
    assert eventually(lambda: "go" not in running.ask()["plane"])
    network.cable("out", REMOTE, "go", PUBLIC)
    assert eventually(lambda: "go" in running.ask()["plane"])
    assert eventually(lambda: echo(network, "in", REMOTE) == (REMOTE, 0))
    with tcp_server(network, "out", REMOTE, 5000) as server:
        transfer(network, server, 1 << 20)
    assert running.ask()["fast"] > 0
