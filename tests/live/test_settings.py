"""Kernel settings that others change while the gateway runs, as `sysctl --system` or a package does."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running, run, trace
from tests.live.offloaded_flow import offloaded_flow
from tests.live.test_tun import echo, tcp_server, tcp_talk
from tests.live.waiting import eventually

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


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])
def test_the_start_names_every_setting_that_it_changes(
    network: Network, gateway: Start, plane: str
) -> None:
    if plane == "ebpf-xdp":
        for host in ("in", "out"):
            network.features(host, "eth", "tx", "off", "gro", "on")
    before = trace(network)
    running = gateway(plane=plane, log=logging.INFO)
    during = trace(network)
    (told,) = re.findall(r"settings that are changed until the gateway stops: (.*)", running.stop())
    named = {each.split(" = ")[0] for each in re.split(r"(?<=\)), ", told)}
    changed = {
        ".".join(Path(what).relative_to("/proc/sys").parts)
        for what in before
        if what.startswith("/proc") and during[what] != before[what]
    }
    assert named == changed
    assert "net.ipv4.ip_local_reserved_ports" in named
    assert ("net.ipv4.conf.go.src_valid_mark" in named) == (plane != "tun")


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


ROUTING = {
    "ip rule flush": "more of the gateway's was removed, and is restored",
    "ip rule del pref 4": "ip rule 4: from all",
    "ip rule del pref 3": "ip rule 3: from all lookup local was removed",
    "ip route flush table 61001": "ip route default dev ipmasq-in table 61001 was removed",
    "ip rule add pref 0 lookup local": "ip rule 0: from all lookup local was set to present",
}


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
@pytest.mark.parametrize("command", ROUTING)
def test_routing_that_somebody_takes_away_is_put_back_and_said(
    network: Network, gateway: Start, command: str, plane: str
) -> None:
    running = gateway(plane=plane, forwards=[["web", 6, 80, INSIDE_HOST, 8080]])
    before = network.ip("gw", "-d rule")
    with network.at("gw"):
        run(*command.split())
    if command == "ip rule flush":  # these two are the host's own
        network.ip("gw", "rule add pref 32766 lookup main")
        network.ip("gw", "rule add pref 32767 lookup default")
    assert eventually(lambda: _sorted(network.ip("gw", "-d rule")) == _sorted(before))
    assert eventually(lambda: "default dev ipmasq-in" in network.ip("gw", "route show table 61001"))
    assert goes_on(network)
    with tcp_server(network, "in", INSIDE_HOST, 8080) as server:
        assert tcp_talk(network, "out", (PUBLIC, 80), server) == REMOTE
    assert ROUTING[command] in running.stop()


def _sorted(rules: str) -> list[str]:
    """Without who has made them."""
    return sorted(line.partition(" proto ")[0].strip() for line in rules.splitlines())


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_what_the_gateway_switches_on_is_off_again_when_it_has_gone(
    network: Network, gateway: Start, plane: str
) -> None:
    for path in ("ip_forward", "conf/gi/forwarding", "conf/go/forwarding"):
        sysctl(network, path, "0")
    running = gateway(plane=plane)
    assert goes_on(network)
    running.stop()
    assert read(network, "ip_forward") == "0"
    assert read(network, "conf/gi/forwarding") == read(network, "conf/go/forwarding") == "0"


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_forwarding_that_somebody_has_switched_on_meanwhile_stays_on(
    network: Network, gateway: Start, plane: str
) -> None:
    """As Docker and libvirt do when they start."""
    for path in ("ip_forward", "conf/gi/forwarding", "conf/go/forwarding"):
        sysctl(network, path, "0")
    running = gateway(plane=plane)
    sysctl(network, "ip_forward", "1")
    running.stop()
    for path in ("ip_forward", "conf/gi/forwarding", "conf/go/forwarding"):
        assert read(network, path) == "1"


def test_after_a_kill_the_next_start_says_what_it_found(network: Network, gateway: Start) -> None:
    sysctl(network, "ip_forward", "0")
    gateway().stop(signal.SIGKILL)
    assert read(network, "conf/gi/forwarding") == "1"
    said = gateway().stop()
    assert "a gateway was killed here and had left its changes, undone now: " in said
    assert "net.ipv4.conf.gi.forwarding is 0 again" in said
    assert "routing rules" in said
    assert read(network, "conf/gi/forwarding") == "0"
