"""The gateway goes on when what is around it changes."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.test_tun import echo, tcp_server, tcp_talk, udp_socket
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]
OTHER = "203.0.113.9"


def seen_as(client: socket.socket, server: socket.socket) -> str:
    """The client's address as a remote server sees it; empty if nothing arrives soon."""
    client.sendto(b"ask", (REMOTE, 5000))
    server.settimeout(0.3)
    try:
        return server.recvfrom(100)[1][0]
    except TimeoutError:
        return ""


def test_another_outside_address_is_used_from_then_on(network: Network, gateway: Start) -> None:
    running = gateway()
    with udp_socket(network, "out", REMOTE, 5000) as server, udp_socket(network, "in") as client:
        assert eventually(lambda: seen_as(client, server) == PUBLIC)
        network.ip("gw", f"addr add {OTHER}/24 dev go")
        network.ip("gw", f"addr del {PUBLIC}/24 dev go")
        network.ip("gw", f"addr replace {OTHER}/24 dev go")
        assert eventually(lambda: seen_as(client, server) == OTHER)
    assert running.has_rule(PUBLIC, gone=True)
    assert echo(network, "out", OTHER) == (OTHER, 0)
    assert "the public addresses are now: 203.0.113.9" in running.stop()
    assert OTHER not in network.ip("gw", "rule")


def test_an_outside_interface_that_comes_back_is_used_again(
    network: Network, gateway: Start
) -> None:
    running = gateway()
    assert echo(network, "in", REMOTE) == (REMOTE, 0)
    network.ip("gw", "link del go")
    assert running.has_rule(PUBLIC, gone=True)
    network.cable("out", REMOTE, "go", PUBLIC)
    assert running.has_rule(PUBLIC)
    assert echo(network, "in", REMOTE) == (REMOTE, 0)


def test_a_reload_adds_a_forward_and_keeps_what_runs(network: Network, gateway: Start) -> None:
    running = gateway()
    with (
        tcp_server(network, "out", REMOTE, 5000) as server,
        tcp_server(network, "in", INSIDE_HOST, 8080) as inside,
    ):
        with network.at("in"):
            client = socket.create_connection((REMOTE, 5000), 5)
        with client, server.accept()[0] as accepted:
            running.reload(json.dumps({"forwards": [["web", 6, 80, INSIDE_HOST, 8080]]}))
            assert running.has_rule("dport 81-60999")
            assert tcp_talk(network, "out", (PUBLIC, 80), inside) == REMOTE
            client.sendall(b"still here")
            assert accepted.recv(10, socket.MSG_WAITALL) == b"still here"
    assert running.stop() == ""


def test_a_bad_file_leaves_the_running_policy_in_place(network: Network, gateway: Start) -> None:
    running = gateway(forwards=[["web", 6, 80, INSIDE_HOST, 8080]])
    running.reload_in_vain("{nonsense")
    with tcp_server(network, "in", INSIDE_HOST, 8080) as inside:
        assert tcp_talk(network, "out", (PUBLIC, 80), inside) == REMOTE
    assert "not reloaded" in running.stop()


def test_what_the_plane_refuses_leaves_the_running_policy_in_place(
    network: Network, gateway: Start
) -> None:
    running = gateway(forwards=[["web", 6, 80, INSIDE_HOST, 8080]])
    before = network.ip("gw", "rule")
    running.reload_in_vain(json.dumps({"ports": "1024-65535"}))
    with tcp_server(network, "in", INSIDE_HOST, 8080) as inside:
        assert tcp_talk(network, "out", (PUBLIC, 80), inside) == REMOTE
    assert sorted(network.ip("gw", "rule").splitlines()) == sorted(before.splitlines())
    assert "not reloaded: the port range leaves the host no port" in running.stop()


def test_a_service_that_the_host_starts_later_inside_the_range_is_left_to_it(
    network: Network, gateway: Start
) -> None:
    running = gateway()
    with tcp_server(network, "gw", PUBLIC, 61005) as server:
        assert running.has_rule("dport 61005")
        assert tcp_talk(network, "out", (PUBLIC, 61005), server) == REMOTE


def test_a_refused_command_that_is_repeated_does_not_fill_the_log(
    network: Network, gateway: Start
) -> None:
    running = gateway(ftp=True)
    with tcp_server(network, "out", REMOTE, 21) as listening:
        with network.at("in"):
            client = socket.create_connection((REMOTE, 21), 5)
        server = listening.accept()[0]
        server.settimeout(5)
        with client, server:
            said = b"PORT 9,9,9,9,200,7\r\n" * 2000
            client.sendall(said)
            heard = b""
            while len(heard) < len(said):
                heard += server.recv(1 << 16)
            assert heard == said
    lines = running.stop().splitlines()
    assert 1 <= len(lines) <= 6
    assert all("helper ftp did not act on" in line for line in lines)


def test_systemds_watchdog_is_fed_by_the_gateway(
    network: Network, gateway: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        running = gateway()
        told = [systemd.recv(100) for _ in range(4)]
        assert told == [b"READY=1", *[b"WATCHDOG=1"] * 3]
        assert echo(network, "in", REMOTE) == (REMOTE, 0)
        assert systemd.recv(100) == b"WATCHDOG=1"
        assert running.stop() == ""
