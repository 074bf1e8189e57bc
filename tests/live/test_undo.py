"""Nothing that the tun plane does to the host outlives it, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from pyroute2 import IPRoute

from ipmasq.core.policy import ALL_PORTS, Claim, PortRange
from ipmasq.planes import bpffs
from ipmasq.planes.leftovers import find_leftovers, undo_leftovers
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun import changes
from ipmasq.planes.tun.journal import namespace
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.wire.addresses import to_address, to_network
from tests.live.conftest import (
    INSIDE_HOST,
    POOL,
    PUBLIC,
    Network,
    Running,
    says_only_what_it_undid,
    trace,
)

pytestmark = pytest.mark.live

Start = Callable[..., Running]
FORWARD = ["web", 6, 80, INSIDE_HOST, 8080]
RANGE = PortRange(61000, 65095)
CLAIMS = [
    Claim(protocol, to_address(address), RANGE if protocol != 1 else ALL_PORTS)
    for address in (PUBLIC, POOL)
    for protocol in (1, 6, 17)
]


def plane(directory: Path) -> TunPlane:
    return TunPlane("go", ["gi"], [to_network("10.0.0.0/24")], directory)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_child(do: Callable[[], None]) -> int:
    """Run it in a process of its own; returns the wait status."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pytest's own handler is for pytest
        try:
            do()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def _with_changes_of_an_operator(network: Network) -> dict[str, str]:
    """Make some that are like a gateway's."""
    network.ip("gw", f"neigh add proxy {POOL} dev go")
    network.ip("gw", "rule add pref 3 from 10.9.9.0/24 lookup local")
    network.ip("gw", "rule add pref 4 iif gi fwmark 0x7 lookup 61001")
    return trace(network)


def test_after_an_orderly_end_the_host_is_as_it_was(network: Network, gateway: Start) -> None:
    before = _with_changes_of_an_operator(network)
    running = gateway(public=POOL, forwards=[FORWARD])
    during = trace(network)
    assert during["rules"] != before["rules"]
    assert POOL in during["proxies"]
    assert running.stop() == ""
    assert trace(network) == before


def test_after_a_kill_the_next_start_undoes_the_leftovers_first(
    network: Network, gateway: Start
) -> None:
    before = trace(network)
    gateway(public=POOL, forwards=[FORWARD]).stop(signal.SIGKILL)
    assert trace(network)["rules"] != before["rules"]
    second = gateway()
    assert POOL not in trace(network)["proxies"]
    assert says_only_what_it_undid(second.stop())
    assert trace(network) == before


def test_after_a_kill_nothing_leaves_untranslated(network: Network, gateway: Start) -> None:
    gateway().stop(signal.SIGKILL)
    with pytest.raises(AssertionError, match="No route to host"):
        network.ip("gw", f"route get 203.0.113.2 from {INSIDE_HOST} iif gi")


def pin(directory: Path) -> Path:
    """Leave a bpffs and names in it, as a fast path does that was killed."""
    with IPRoute() as kernel:
        own = directory / f"bpf-{namespace()}"
        changes.BpffsMounted(str(own)).make(kernel)
        changes.ProgramsPinned(str(own / f"ipmasq-{namespace()}")).make(kernel)
        changes.ProgramsPinned(str(own / "ipmasq-1-2")).make(kernel)  # another namespace's
    return own


ROUTING = "rules", "rules, IPv6", "routes", "proxies", "links"


def kill_without_a_record(network: Network, directory: Path) -> None:
    """Leave everything that a gateway does to routing, with addresses of its own, a pool and forwards."""

    def run() -> None:
        each = plane(directory)
        each.open()
        each.claim([*CLAIMS, Claim(6, to_address(PUBLIC), PortRange(80, 80))])
        die()

    with network.at("gw"):
        assert os.WIFSIGNALED(in_a_child(run))
    shutil.rmtree(directory)


@pytest.mark.parametrize("claims", [CLAIMS, CLAIMS[:3], []])
def test_a_start_adopts_what_is_on_no_record_and_undoes_it_at_its_end(
    network: Network, tmp_path: Path, claims: list[Claim]
) -> None:
    before = trace(network)
    with network.at("gw"):
        fresh = plane(tmp_path / "fresh")
        fresh.open()
        fresh.claim(claims)
        during = trace(network)
        fresh.close()
        kill_without_a_record(network, tmp_path / "lost")
        second = plane(tmp_path / "next")
        (tmp_path / "next").mkdir()
        pins = pin(tmp_path / "next")
        second.open()
        assert not bpffs.is_bpffs(pins)
        second.claim(claims)
        for name in ROUTING[:-1]:  # the devices have other numbers
            made, expected = trace(network)[name], during[name]
            assert sorted(made.splitlines()) == sorted(expected.splitlines())
        second.close()
    assert {name: trace(network)[name] for name in ROUTING} == {
        name: before[name] for name in ROUTING
    }


def test_what_is_on_no_record_is_found_and_undone_by_command(
    network: Network, tmp_path: Path
) -> None:
    before = trace(network)
    kill_without_a_record(network, tmp_path / "lost")
    with network.at("gw"):
        pins = pin(tmp_path)
        left = find_leftovers(tmp_path)
        assert len([each for each in left.changes if isinstance(each, changes.ProgramsPinned)]) == 1
        assert undo_leftovers(tmp_path) == left
        assert not bpffs.is_bpffs(pins)
        assert not find_leftovers(tmp_path)
    assert {name: trace(network)[name] for name in ROUTING} == {
        name: before[name] for name in ROUTING
    }


def test_a_gateway_that_runs_without_its_record_is_left_alone(
    network: Network, tmp_path: Path
) -> None:
    before = trace(network)
    with network.at("gw"):
        each = plane(tmp_path / "elsewhere")
        each.open()
        each.claim(CLAIMS)
        during = trace(network)
        assert not find_leftovers(tmp_path)
        assert not undo_leftovers(tmp_path)
        assert trace(network) == during
        each.close()
    assert trace(network) == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_change_can_be_undone(network: Network, tmp_path: Path, when: str) -> None:
    """Dies at the first, the second, ... change, until it gets through."""
    network.ip("gw", "addr add 198.51.100.1/24 dev go")
    with network.at("gw"):
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("1\n")
    before = trace(network)
    for number in range(100):
        left = number

        def dying(change: changes.Change, make: Callable[..., None], kernel: object) -> None:
            nonlocal left
            if left == 0 and when == "before":
                die()
            make(change, kernel)
            if left == 0:
                die()
            left -= 1

        def run() -> None:
            for kind in changes.Change.__subclasses__():
                make = kind.make
                setattr(kind, "make", lambda self, k, make=make: dying(self, make, k))  # noqa: B010
            each = plane(tmp_path)
            each.open()
            each.claim(CLAIMS)
            os.kill(os.getpid(), signal.SIGTERM)

        with network.at("gw"):
            status = in_a_child(run)
            assert os.WIFSIGNALED(status)
            undo_leftovers(tmp_path)
        assert trace(network) == before
        assert not list(tmp_path.iterdir())
        if os.WTERMSIG(status) == signal.SIGTERM:
            break
    assert number > 20


def test_a_kill_while_undoing_can_be_undone(network: Network, tmp_path: Path) -> None:
    before = trace(network)

    def run() -> None:
        each = plane(tmp_path)
        each.open()
        each.claim(CLAIMS)
        with mock.patch.object(changes.LocalRuleRemoved, "undo", die):
            each.close()

    with network.at("gw"):
        assert os.WIFSIGNALED(in_a_child(run))
        assert undo_leftovers(tmp_path).changes
        assert not undo_leftovers(tmp_path)
    assert trace(network) == before


def test_a_record_is_looked_for_without_keeping_a_gateway_from_its_start(
    network: Network, tmp_path: Path
) -> None:
    with network.at("gw"):
        each = plane(tmp_path)
        each.open()
        assert not find_leftovers(tmp_path)
        each.close()
        assert not find_leftovers(tmp_path)
        assert not undo_leftovers(tmp_path)
        assert not list(tmp_path.iterdir())


def test_claims_that_change_leave_no_rule_behind(network: Network, tmp_path: Path) -> None:
    before = trace(network)
    with network.at("gw"):
        each = plane(tmp_path)
        each.open()
        each.claim(CLAIMS[:3])
        first = network.ip("gw", "rule")
        each.claim([*CLAIMS, Claim(6, to_address(PUBLIC), PortRange(80, 80))])
        assert "dport 81-60999" in network.ip("gw", "rule")
        each.claim(CLAIMS[:3])
        assert sorted(network.ip("gw", "rule").splitlines()) == sorted(first.splitlines())
        each.close()
        each.close()
    assert trace(network) == before


def test_reverse_path_filters_of_others_hold_as_before(network: Network, tmp_path: Path) -> None:
    with network.at("gw"):
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("2\n")
        each = plane(tmp_path)
        each.open()
        filters = {
            path.parent.name: int(path.read_text())
            for path in Path("/proc/sys/net/ipv4/conf").glob("*/rp_filter")
        }
        each.close()
    assert filters["all"] == 0
    assert filters["gi"] == filters["go"] == filters["default"] == 2
    assert filters["ipmasq-in"] == filters["ipmasq-out"] == 0


def test_a_second_gateway_is_refused_with_one_sentence(network: Network, gateway: Start) -> None:
    first = gateway()
    with pytest.raises(AssertionError, match="running already in this network namespace"):
        gateway()
    assert first.stop() == ""


def test_an_interface_that_does_not_exist_is_named(network: Network, tmp_path: Path) -> None:
    before = trace(network)
    with network.at("gw"):
        nowhere = TunPlane("wan7", ["gi"], [], tmp_path)
        with pytest.raises(PlaneError, match=r"^there is no interface wan7$"):
            nowhere.open()
    assert trace(network) == before


def test_a_range_that_leaves_the_host_no_port_is_refused(network: Network, tmp_path: Path) -> None:
    with network.at("gw"):
        each = plane(tmp_path)
        each.open()
        with pytest.raises(PlaneError, match="no port for its own connections"):
            each.claim([Claim(6, to_address(PUBLIC), PortRange(1024, 65535))])
        each.close()


def test_an_interface_that_comes_back_is_served_again(network: Network, tmp_path: Path) -> None:
    with network.at("gw"):
        each = plane(tmp_path)
        each.open()
        each.claim(CLAIMS)
        network.ip("gw", "link del go")
        each.refresh()
        assert POOL not in network.ip("gw", "neigh show proxy")
        network.cable("out", "203.0.113.2", "go", PUBLIC)
        each.refresh()
        assert POOL in network.ip("gw", "neigh show proxy")
        assert Path("/proc/sys/net/ipv4/conf/go/forwarding").read_text() == "1\n"
        assert "detached" not in network.ip("gw", "rule")
        each.close()
        assert Path("/proc/sys/net/ipv4/conf/go/forwarding").read_text() == "0\n"
