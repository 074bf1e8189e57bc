"""Kernel settings that somebody changes while the gateway runs, as `sysctl --system` or a package does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.conftest import REMOTE, Network, Running, run, trace
from tests.live.offloaded_flow import offloaded_flow
from tests.live.test_tun import echo, eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]
IPV4 = Path("/proc/sys/net/ipv4")

CHANGES = {
    "ip_forward": "0",
    "conf/all/rp_filter": "1",
    "conf/go/forwarding": "0",
    "conf/ipmasq-in/rp_filter": "1",
    "conf/ipmasq-out/accept_local": "0",
    "ip_early_demux": "1",
    "ip_local_reserved_ports": "8080",
}


def read(network: Network, path: str) -> str:
    with network.at("gw"):
        return (IPV4 / path).read_text().strip()


def sysctl(network: Network, path: str, value: str) -> None:
    name = "net.ipv4." + path.replace("/", ".")
    with network.at("gw"):
        run("sysctl", "-q", "-w", f"{name}={value}")


def goes_on(network: Network) -> bool:
    """Whether an inside host's ping is answered."""
    ping = network.start("in", "ping", "-c1", "-W1", REMOTE)
    return "1 received" in ping.communicate(timeout=10)[0]


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
@pytest.mark.parametrize("path", CHANGES)
def test_a_setting_that_somebody_changes_is_set_back_and_said(
    network: Network, gateway: Start, path: str, plane: str
) -> None:
    sysctl(
        network, "ip_forward", "1"
    )  # as on a router: writing what is there already changes nothing
    running = gateway(plane=plane)
    before = {each: read(network, each) for each in CHANGES if each != "ip_forward"}
    sysctl(network, path, CHANGES[path])
    wanted = "8080,61000-65095" if path == "ip_local_reserved_ports" else before.get(path)
    if path == "ip_forward":
        path, wanted = "conf/go/forwarding", "1"
    assert eventually(lambda: read(network, path) == wanted)
    assert eventually(lambda: goes_on(network))
    assert f"{path.replace('/', '.')} was set to" in running.stop()


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])
def test_all_of_them_at_once_interrupt_a_flow_for_seconds_only(
    network: Network, gateway: Start, plane: str
) -> None:
    if plane == "ebpf-xdp":
        for host in ("in", "out"):
            network.features(host, "eth", "tx", "off", "gro", "on")
    sysctl(network, "ip_forward", "1")
    running = gateway(plane=plane)
    if plane == "tun":
        assert echo(network, "in", REMOTE) == (REMOTE, 0)
        for path, value in CHANGES.items():
            sysctl(network, path, value)
        assert eventually(lambda: goes_on(network))
        return
    with offloaded_flow(network, running) as flow:
        for path, value in CHANGES.items():
            sysctl(network, path, value)
        assert eventually(lambda: goes_on(network))
        assert flow.goes_by()


def test_what_somebody_has_set_meanwhile_is_there_when_the_gateway_has_gone(
    network: Network, gateway: Start
) -> None:
    sysctl(network, "ip_forward", "1")
    before = trace(network)
    running = gateway()
    for path in ("conf/all/rp_filter", "ip_local_reserved_ports", "ip_forward"):
        sysctl(network, path, CHANGES[path])
        assert eventually(lambda: goes_on(network))
    running.stop()
    for path, value in CHANGES.items():
        if path in ("conf/all/rp_filter", "ip_local_reserved_ports", "conf/go/forwarding"):
            assert read(network, path) == value
    after = trace(network)
    changed = {what for what in before if after.get(what) != before[what]}
    assert {Path(what).name for what in changed} <= {
        "rp_filter", "ip_local_reserved_ports", "ip_forward", "forwarding",
        "accept_redirects",  # which the kernel writes together with ip_forward
    }  # fmt: skip


def test_an_interfaces_own_filter_that_is_made_looser_stays_so(
    network: Network, gateway: Start
) -> None:
    sysctl(network, "conf/all/rp_filter", "1")
    running = gateway()
    assert read(network, "conf/gi/rp_filter") == "1"
    sysctl(network, "conf/gi/rp_filter", "2")
    sysctl(network, "conf/go/rp_filter", "0")
    assert eventually(lambda: read(network, "conf/go/rp_filter") == "1")
    assert read(network, "conf/gi/rp_filter") == "2"
    assert "conf.go.rp_filter was set to 0" in running.stop()
