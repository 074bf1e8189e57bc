"""A reload may bring another plane, or a table of another size, while flows live."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.live.conftest import Network, Running
from tests.live.settled import by_xdp, settled
from tests.live.test_ebpf_devices import bridged
from tests.live.test_tun import eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]


def is_on(running: Running, plane: str) -> bool:
    return eventually(lambda: running.ask()["plane"] == plane)


def test_a_flow_goes_on_when_the_plane_changes_under_it(network: Network, gateway: Start) -> None:
    for host in ("in", "out"):
        network.features(host, "eth", "tx", "off", "gro", "on")
    running = gateway(plane="ebpf-tc")
    with settled(network, running) as flow:
        running.reload('{"plane": "ebpf-xdp"}')
        assert is_on(running, "ebpf (tc+xdp on go, tc+xdp on gi)")
        assert flow.goes_by()
        assert by_xdp(running.ask()["left"]) > 0
        running.reload('{"plane": "tun"}')
        assert is_on(running, "tun")
        assert all(flow.ask() for _ in range(10))
        facts = running.ask()
        assert facts["fast"] == facts["entered"] == 0
        running.reload('{"plane": "ebpf-tc"}')
        assert is_on(running, "ebpf (tc on go, tc on gi)")
        assert flow.goes_by()
        ((_, _, out, back),) = running.ask()["flows"]
        assert out == back == flow.asked, "one flow all the time, and every packet is counted"
    assert running.stop() == ""


def test_a_flow_goes_on_when_there_is_to_be_less_room(network: Network, gateway: Start) -> None:
    running = gateway(plane="ebpf-tc", limits={"flows": 1000})
    assert running.ask()["room"] == 1000
    with settled(network, running) as flow:
        running.reload('{"plane": "ebpf-tc", "limits": {"flows": 10}}')
        assert eventually(lambda: running.ask()["room"] == 10)
        assert flow.goes_by()
    assert running.stop() == ""


def test_a_plane_that_cannot_be_leaves_the_running_one_in_place(
    network: Network, gateway: Start
) -> None:
    bridged(network)
    running = gateway(plane="ebpf-tc")
    with settled(network, running) as flow:
        running.reload(json.dumps({"plane": "ebpf-xdp", "ports": [62000, 62999]}))
        assert flow.goes_by()
        assert running.ask()["plane"] == "ebpf (tc on go, tc on gi)"
    assert "dport 1-60999" in network.ip("gw", "rule")
    said = running.stop()
    assert "not reloaded: no program on go: XDP: its driver has none" in said


def test_what_the_rest_of_the_file_does_wrong_brings_back_the_plane(
    network: Network, gateway: Start
) -> None:
    running = gateway(plane="ebpf-tc")
    with settled(network, running) as flow:
        running.reload(json.dumps({"plane": "tun", "ports": [1024, 65535]}))
        assert flow.goes_by()
        assert running.ask()["plane"] == "ebpf (tc on go, tc on gi)"
    assert "not reloaded: the port range leaves the host no port" in running.stop()
