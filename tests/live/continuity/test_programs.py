"""Established flows are forwarded while no gateway runs, and a successor takes over without losing a packet."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ipmasq.planes.tun.devices import PINS
from ipmasq.planes.tun.holder import Keeper
from tests.live.conftest import PUBLIC, REMOTE, Network, Running, trace
from tests.live.continuity.pouring import pouring
from tests.live.firewalls import load
from tests.live.offloaded_flow import PORT, offloaded_flow
from tests.live.test_firewalls import NFT_USUAL
from tests.live.test_tun import tcp_server, tcp_talk, udp_socket
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]
WRITTEN = 0.5
"""Seconds after which the state of a plain flow has been written."""
RATE = 100_000
"""Packets per second that are asked for; the sender shares the processors with all else."""

PLANES = pytest.mark.parametrize("plane", ["ebpf-tc", "ebpf-xdp"])


ELSEWHERE = "unshare", "--mount", "--propagation", "slave"
"""Starts a program in a mount namespace of its own, as `ip netns exec` and services with private mounts do."""

WITHOUT_BPFFS = (
    *ELSEWHERE,
    *("sh", "-c", 'umount -l /sys/fs/bpf; exec "$@"', "sh"),
    *("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"),
)


def for_xdp(network: Network, plane: str) -> None:
    if plane == "ebpf-xdp":
        for host in ("in", "out"):
            network.features(host, "eth", "tx", "off", "gro", "on")


def kill(running: Running) -> None:
    """Kill it when it has written what it knows."""
    assert running.has_written()
    assert running.stop(signal.SIGKILL) == ""


def packets_out(running: Running) -> int:
    """How many packets of its only flow have left, as the gateway knows."""
    ((_, _, packets, _),) = running.ask()["flows"]
    return int(packets)


def is_at_an_end(directory: Path) -> bool:
    """Whether a keeper has undone all and ended."""
    return not [*directory.glob("tun-*")]


@PLANES
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGUSR2])
@pytest.mark.alone
def test_no_packet_of_an_offloaded_flow_is_lost_while_no_gateway_runs_and_the_next_one_takes_over(
    network: Network, gateway: Start, plane: str, how: signal.Signals
) -> None:
    for_xdp(network, plane)
    before = trace(network)
    first = gateway(plane=plane, grace=20)
    with offloaded_flow(network, first) as flow:
        with pouring(network, flow.client, RATE) as poured:
            time.sleep(WRITTEN)
            assert first.stop(how) == ""
            time.sleep(3)
            second = gateway(plane=plane, grace=20)
            time.sleep(1)
        print(f"{poured.sent} packets, {poured.rate:.0f} per second")
        assert poured.sent > 20_000
        assert poured.arrived == poured.sent
        facts = second.ask()
        assert facts["entered"] == len(facts["flows"]) == 1
        # Each packet is counted once, whichever process has forwarded it, or none.
        assert eventually(lambda: packets_out(second) == flow.asked + poured.sent), (
            packets_out(second),
            flow.asked + poured.sent,
        )
        facts, every = second.ask(), 2 * flow.asked + poured.sent
        if how == signal.SIGUSR2:
            assert facts["fast"] + facts["slow"] == every, "in all, too"
        else:  # what is only in all is not written as it comes
            assert facts["fast"] + facts["slow"] <= every
    assert second.stop() == ""
    assert trace(network) == before


@PLANES
@pytest.mark.alone
def test_a_successor_in_another_mount_namespace_takes_over_without_losing_a_packet(
    network: Network, gateway: Start, tmp_path: Path, plane: str
) -> None:
    for_xdp(network, plane)
    load(network, NFT_USUAL)  # a packet that passes it twice is dropped
    before = trace(network)
    first = gateway(ELSEWHERE, plane=plane, grace=20)
    with offloaded_flow(network, first) as flow:
        # The third one is neither where the pins were made nor where they were taken over.
        for _ in range(2):
            with pouring(network, flow.client, RATE) as poured:
                kill(flow.running)
                flow.running = gateway(ELSEWHERE, plane=plane, grace=20)
                time.sleep(0.5)
            assert poured.arrived == poured.sent
            assert flow.running.ask()["entered"] == 1
            with tcp_server(network, "out", REMOTE, PORT + 1) as server:
                assert tcp_talk(network, "in", (REMOTE, PORT + 1), server) == PUBLIC
            time.sleep(1.5)  # the firewall is judged again
            assert flow.running.ask()["firewall"] == []
    assert flow.running.stop() == ""
    assert trace(network) == before
    assert not [*tmp_path.glob("bpf*")]


@PLANES
def test_programs_that_a_successor_cannot_reach_end_before_its_own_begin(
    network: Network, gateway: Start, tmp_path: Path, plane: str
) -> None:
    """The keeper has no directory of pins, but its mount namespace has one."""
    for_xdp(network, plane)
    load(network, NFT_USUAL)
    first = gateway(ELSEWHERE, plane=plane, grace=20)
    with offloaded_flow(network, first) as flow:
        kill(first)
        (path,) = tmp_path.glob("tun-*.keeper")
        keeper = Keeper(path, tmp_path)
        held = keeper.take()
        keeper.hold({name: each for name, each in held.items() if name != PINS}, 20)
        keeper.leave()
        for each in held.values():
            os.close(each)
        flow.running = gateway(ELSEWHERE, plane=plane, grace=20)
        assert flow.goes_by()
        time.sleep(1.5)
        assert flow.running.ask()["firewall"] == []
    assert flow.running.stop() == ""


def test_programs_that_end_with_their_process_let_packets_pass_the_firewall_once_after_a_restart(
    network: Network, gateway: Start
) -> None:
    load(network, NFT_USUAL)
    for _ in range(2):
        running = gateway(WITHOUT_BPFFS, plane="ebpf-tc", grace=20)
        with tcp_server(network, "out", REMOTE, PORT) as server:
            assert tcp_talk(network, "in", (REMOTE, PORT), server) == PUBLIC
        time.sleep(1.5)
        assert running.ask()["firewall"] == []
        said = running.stop(signal.SIGKILL)
        assert "the fast path will not outlive this process: no bpffs" in said


def test_when_the_grace_time_has_passed_without_a_successor_the_host_is_as_it_was(
    network: Network, gateway: Start, tmp_path: Path
) -> None:
    before = trace(network)
    first = gateway(plane="ebpf-tc", grace=2)
    with offloaded_flow(network, first) as flow:
        first.stop(signal.SIGKILL)
        killed = time.monotonic()
        assert flow.ask()
        assert eventually(lambda: is_at_an_end(tmp_path))
        assert time.monotonic() - killed > 1.5
    assert trace(network) == before


def test_a_successor_whose_fast_path_is_refused_takes_over_on_the_tun_plane_and_the_next_one_goes_back(
    network: Network, gateway: Start
) -> None:
    before = trace(network)
    first = gateway(plane="ebpf-tc", grace=20)
    with offloaded_flow(network, first) as flow:
        kill(first)
        second = gateway(plane="tun", grace=20)
        fast = second.ask()["fast"]
        assert all(flow.ask() for _ in range(10))
        facts = second.ask()
        assert (facts["plane"], facts["fast"], len(facts["flows"])) == ("tun", fast, 1)
        kill(second)
        third = flow.running = gateway(plane="ebpf-tc", grace=20)
        assert flow.goes_by()
        assert len(third.ask()["flows"]) == 1
    assert third.stop() == ""
    assert trace(network) == before


def test_packets_for_the_engine_wait_for_the_successor(network: Network, gateway: Start) -> None:
    first = gateway(grace=20)
    with (
        udp_socket(network, "out", REMOTE, PORT) as server,
        udp_socket(network, "in") as client,
    ):
        server.settimeout(5)
        client.connect((REMOTE, PORT))
        client.send(b"before")
        assert server.recv(100) == b"before"
        kill(first)
        for number in range(100):
            client.send(b"%d" % number)
        second = gateway(grace=20)
        assert [int(server.recv(100)) for _ in range(100)] == [*range(100)]
    assert second.stop() == ""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_leaves_nothing_to_a_successor(
    network: Network, gateway: Start, tmp_path: Path, how: signal.Signals
) -> None:
    before = trace(network)
    first = gateway(plane="ebpf-tc", grace=20)
    with offloaded_flow(network, first):
        assert first.stop(how) == ""
    assert trace(network) == before
    assert is_at_an_end(tmp_path)
    assert not [*tmp_path.glob("bpf*")]


@pytest.mark.alone
@pytest.mark.row("HA-2")
@PLANES
@pytest.mark.parametrize(("before", "after"), [(1000, 50), (50, 1000)])
def test_a_successor_with_another_table_moves_the_flows_over_without_losing_a_packet(
    network: Network, gateway: Start, plane: str, before: int, after: int
) -> None:
    for_xdp(network, plane)
    first = gateway(plane=plane, grace=20, limits={"flows": before})
    with offloaded_flow(network, first) as flow:
        with pouring(network, flow.client, RATE) as poured:
            time.sleep(WRITTEN)
            kill(first)
            time.sleep(0.5)
            second = gateway(plane=plane, grace=20, limits={"flows": after})
            time.sleep(0.5)
        assert poured.arrived == poured.sent
        facts = second.ask()
        assert (facts["room"], facts["entered"], len(facts["flows"])) == (after, 1, 1)
        assert eventually(lambda: packets_out(second) == flow.asked + poured.sent), (
            packets_out(second),
            flow.asked + poured.sent,
        )
    assert second.stop() == ""
