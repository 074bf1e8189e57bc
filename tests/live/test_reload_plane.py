"""A reload may bring another plane, or a table of another size, while flows live."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.live.conftest import REMOTE, Network, Running
from tests.live.offloaded_flow import PORT, by_xdp, offloaded_flow
from tests.live.test_ebpf_devices import bridged
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]
SO_RCVBUFFORCE = 33


def heard(server: socket.socket) -> int:
    """Datagrams, until there is silence."""
    server.settimeout(0.5)
    for count in itertools.count():
        try:
            server.recv(100)
        except TimeoutError:
            return count
    raise AssertionError


def is_on(running: Running, plane: str) -> bool:
    return eventually(lambda: running.ask()["plane"] == plane)


def test_a_flow_goes_on_when_the_plane_changes_under_it(network: Network, gateway: Start) -> None:
    for host in ("in", "out"):
        network.features(host, "eth", "tx", "off", "gro", "on")
    running = gateway(plane="ebpf-tc")
    with offloaded_flow(network, running) as flow:
        by_tc = running.ask()["fast"]
        running.reload('{"plane": "ebpf-xdp"}')
        assert is_on(running, "ebpf (tc+xdp on go, tc+xdp on gi)")
        assert flow.goes_by()
        assert by_xdp(running.ask()["left"]) > by_tc > 0
        running.reload('{"plane": "tun"}')
        assert is_on(running, "tun")
        fast = running.ask()["fast"]
        assert all(flow.ask() for _ in range(10))
        facts = running.ask()
        assert (facts["fast"], facts["entered"]) == (fast, 0)
        running.reload('{"plane": "ebpf-tc"}')
        assert is_on(running, "ebpf (tc on go, tc on gi)")
        assert flow.goes_by()
        ((_, _, out, back),) = running.ask()["flows"]
        assert out == back == flow.asked, "one flow all the time, and every packet is counted"
        facts = running.ask()
        assert facts["fast"] + facts["slow"] == out + back, "in all, too"
    assert running.stop() == ""


def test_a_flow_goes_on_when_there_is_to_be_less_room(network: Network, gateway: Start) -> None:
    running = gateway(plane="ebpf-tc", limits={"flows": 1000})
    assert running.ask()["room"] == 1000
    with offloaded_flow(network, running) as flow:
        running.reload('{"plane": "ebpf-tc", "limits": {"flows": 10}}')
        assert eventually(lambda: running.ask()["room"] == 10)
        assert flow.goes_by()
    assert running.stop() == ""


def test_a_plane_that_cannot_be_leaves_the_running_one_in_place(
    network: Network, gateway: Start
) -> None:
    bridged(network)
    running = gateway(plane="ebpf-tc")
    with offloaded_flow(network, running) as flow:
        running.reload_in_vain(json.dumps({"plane": "ebpf-xdp", "ports": "62000-62999"}))
        assert flow.goes_by()
        assert running.ask()["plane"] == "ebpf (tc on go, tc on gi)"
    assert "dport 1-60999" in network.ip("gw", "rule")
    said = running.stop()
    assert "not reloaded: no program on go: XDP: its driver has none" in said


def test_what_the_rest_of_the_file_does_wrong_brings_back_the_plane(
    network: Network, gateway: Start
) -> None:
    running = gateway(plane="ebpf-tc")
    with offloaded_flow(network, running) as flow:
        running.reload_in_vain(json.dumps({"plane": "tun", "ports": "1024-65535"}))
        assert flow.goes_by()
        assert running.ask()["plane"] == "ebpf (tc on go, tc on gi)"
    assert "not reloaded: the port range leaves the host no port" in running.stop()


def test_every_packet_that_goes_by_during_a_change_is_counted(
    network: Network, gateway: Start
) -> None:
    running = gateway(plane="ebpf-tc")
    with offloaded_flow(network, running) as flow:
        flow.server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        before = running.ask()["flows"][0][2]
        over, sent = threading.Event(), 0

        def send() -> None:
            nonlocal sent
            while not over.is_set():
                flow.client.send(b"one of many")
                sent += 1
                time.sleep(1e-4)

        flow.client.connect((REMOTE, PORT))
        sender = threading.Thread(target=send)
        sender.start()
        try:
            for room in (10, 1000):
                running.reload(json.dumps({"plane": "ebpf-tc", "limits": {"flows": room}}))
                goal = sent + 1000
                assert eventually(lambda room=room: running.ask()["room"] == room)
                assert eventually(lambda goal=goal: sent >= goal)
        finally:
            over.set()
            sender.join()
        arrived = heard(flow.server)

        def are_counted() -> bool:
            nonlocal arrived
            ((_, _, out, _),) = running.ask()["flows"]
            arrived += heard(flow.server)
            return bool(out - before == arrived)

        assert eventually(are_counted)
        assert arrived > 1000
    assert running.stop() == ""
