"""What may go up to the engine, and what a flood may not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.layout import Account, Hook
from ipmasq.planes.ebpf.policer import Policer
from ipmasq.planes.tun.host import QUEUE
from tests.conformance import packets
from tests.conformance.packets import ACK, SYN, TCP, UDP
from tests.core.stress import OUTER, PUBLIC
from tests.planes.ebpf.kernel import TC_ACT_SHOT, TC_ACT_UNSPEC, Kernel, network
from tests.planes.ebpf.model import half

pytestmark = pytest.mark.live

ONE, OTHER = bytes((10, 0, 0, 2)), bytes((10, 0, 0, 3))
SERVER = OUTER[0], 21
OWN = bytes((203, 0, 113, 1))
"""The gateway's own address: see `kernel.network`."""
RATES = {Account.FLOW: 1, Account.HOST: 8, Account.OPENINGS: 1, Account.UNTRACKED: 8}
"""Packets per second; a burst is a quarter of a second's, and the one that ends it."""
ATTEMPTS = 100
BURST = {account: rate // 4 + 1 for account, rate in RATES.items()}


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with network() as devices:
        kernel = Kernel(devices, Hook.TC)
        yield kernel
        kernel.close()


@pytest.fixture
def policer(kernel: Kernel) -> Policer:
    policer = Policer(kernel.loaded)
    policer.set_rates(RATES)
    return policer


def passed(kernel: Kernel, data: bytes, side: Side = Side.INSIDE, count: int = 20) -> int:
    """How many of so many such packets may go up."""
    program = kernel.loaded.program(f"up_{side.name.lower()}")
    verdicts = [libbpf.run_once(program, data)[0] for _ in range(count)]
    assert set(verdicts) <= {TC_ACT_UNSPEC, TC_ACT_SHOT}
    return verdicts.count(TC_ACT_UNSPEC)


def opening(host: bytes, port: int = 5000) -> bytes:
    return packets.tcp(host, port, *SERVER, SYN)


def know(kernel: Kernel, host: bytes, port: int) -> tuple[bytes, bytes]:
    """The engine has a flow from there; packets of it, from inside and from outside."""
    out = packets.tcp(host, port, *SERVER, ACK)
    back = packets.tcp(*SERVER, PUBLIC[0], port, ACK)
    wires = back[16:20] + back[12:16] + out[20:24], back[12:16] + host + back[20:24]
    for side, data, wire in zip(Side, (out, back), wires, strict=True):
        assert kernel.insert(half(layout.key(data[12:24], TCP, side), wire), False, 0) is not None
    return out, back


@pytest.mark.row("A-21")
def test_a_host_that_opens_too_many_flows_keeps_no_other_from_it(
    kernel: Kernel, policer: Policer
) -> None:
    assert passed(kernel, opening(ONE)) == BURST[Account.OPENINGS]
    assert passed(kernel, opening(OTHER)) == BURST[Account.OPENINGS]


def test_all_hosts_together_open_no_more_than_the_side_may(
    kernel: Kernel, policer: Policer
) -> None:
    hosts = [bytes((10, 0, 1, number)) for number in range(40)]
    assert sum(passed(kernel, opening(host), count=1) for host in hosts) == BURST[Account.UNTRACKED]
    assert policer.dropped()[Side.INSIDE, Account.UNTRACKED] == 40 - BURST[Account.UNTRACKED]


def test_a_flood_of_strangers_leaves_flows_alone(kernel: Kernel, policer: Policer) -> None:
    out, back = know(kernel, ONE, 5000)
    for port in range(50):
        passed(kernel, packets.tcp(OUTER[1], port, PUBLIC[0], 80, SYN), Side.OUTSIDE, 1)
        passed(kernel, opening(OTHER, port), count=1)
    assert passed(kernel, opening(OTHER)) == 0
    assert passed(kernel, out) == BURST[Account.FLOW]
    assert passed(kernel, back, Side.OUTSIDE) == BURST[Account.FLOW]


def test_a_packet_with_ip_options_is_known_too(kernel: Kernel, policer: Policer) -> None:
    know(kernel, ONE, 5000)
    assert passed(kernel, opening(OTHER)) == BURST[Account.OPENINGS]
    odd = packets.udp(ONE, 5000, *SERVER, options=b"\1\1\1\0")
    wire = PUBLIC[0] + SERVER[0] + odd[24:28]
    key = layout.key(odd[12:20] + odd[24:28], UDP, Side.INSIDE)
    assert kernel.insert(half(key, wire), False, 0) is not None
    assert passed(kernel, odd) == BURST[Account.HOST]


def test_a_host_pays_for_all_its_flows_and_for_nobody_elses(
    kernel: Kernel, policer: Policer
) -> None:
    own = [know(kernel, ONE, port)[0] for port in range(5000, 5020)]
    foreign, _ = know(kernel, OTHER, 6000)
    assert sum(passed(kernel, data, count=1) for data in own) == BURST[Account.HOST]
    assert passed(kernel, foreign) == BURST[Account.FLOW]


@pytest.mark.row("A-21")
def test_a_connection_that_is_flooded_leaves_something_to_the_others_of_its_host(
    kernel: Kernel, policer: Policer
) -> None:
    """As whoever has connected to a published server can do."""
    _, flooded = know(kernel, ONE, 5000)
    _, other = know(kernel, ONE, 5001)
    passed(kernel, flooded, Side.OUTSIDE, 1000)
    assert passed(kernel, other, Side.OUTSIDE) == BURST[Account.FLOW]


def test_a_packet_too_short_for_ports_is_paid_by_its_sender(
    kernel: Kernel, policer: Policer
) -> None:
    assert passed(kernel, packets.ip(ONE, SERVER[0], TCP, b"")) == BURST[Account.OPENINGS]
    assert passed(kernel, opening(OTHER)) == BURST[Account.OPENINGS]


def test_no_burst_is_larger_than_what_waits_for_the_engine(
    kernel: Kernel, policer: Policer
) -> None:
    policer.set_rates({Account.OPENINGS: 4000, Account.UNTRACKED: 1_000_000})
    program, count = kernel.loaded.program("up_inside"), 3000
    for number in range(ATTEMPTS):
        before = policer.dropped()[Side.INSIDE, Account.OPENINGS]
        begun = time.monotonic()
        libbpf.run_once(program, opening(bytes((10, 0, 1, number))), repeat=count)
        if time.monotonic() < begun + 0.05:  # little may be sent again meanwhile
            break
    else:
        pytest.fail("the machine is too busy to send a burst")
    burst = count - (policer.dropped()[Side.INSIDE, Account.OPENINGS] - before)
    assert burst < QUEUE


def test_openings_in_anothers_name_cost_his_flows_nothing(kernel: Kernel, policer: Policer) -> None:
    out, _ = know(kernel, ONE, 5000)
    for port in range(6000, 6050):
        passed(kernel, opening(ONE, port), count=1)
    assert passed(kernel, out) == BURST[Account.FLOW]


@pytest.mark.parametrize(
    "data",
    [
        packets.tcp(ONE, 5000, *SERVER, ACK, fragment=0x2000),
        packets.ip(ONE, SERVER[0], 47, bytes(20)),
        b"\x60" + bytes(39),
        b"\x45" + bytes(14),
    ],
    ids=["fragment", "GRE", "IPv6", "too short"],
)
def test_what_cannot_be_told_to_be_of_a_flow_is_not(
    kernel: Kernel, policer: Policer, data: bytes
) -> None:
    know(kernel, ONE, 5000)
    passed(kernel, data, Side.OUTSIDE)
    assert policer.dropped()[Side.OUTSIDE, Account.UNTRACKED] == 20 - BURST[Account.UNTRACKED]


def test_who_waits_may_send_again(kernel: Kernel, policer: Policer) -> None:
    policer.set_rates({Account.OPENINGS: 40})
    assert passed(kernel, opening(ONE), count=100) < 20
    deadline = time.monotonic() + 5
    while not passed(kernel, opening(ONE), count=1):
        assert time.monotonic() < deadline


def test_what_is_dropped_is_counted_with_whose_it_was(kernel: Kernel, policer: Policer) -> None:
    passed(kernel, opening(ONE), count=BURST[Account.OPENINGS] + 7)
    assert {what: n for what, n in policer.dropped().items() if n} == {
        (Side.INSIDE, Account.OPENINGS): 7
    }
    assert list(policer.offenders()) == [(Side.INSIDE, Account.OPENINGS.sentence, ONE, 7)]


def test_without_prices_everything_may_go_up(kernel: Kernel) -> None:
    assert passed(kernel, opening(ONE), count=1000) == 1000


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_answers_to_sockets_of_the_host_are_no_strangers(
    kernel: Kernel, policer: Policer, protocol: int
) -> None:
    """Such as a resolver's, each of which has a port of its own."""

    def answer(port: int) -> bytes:
        if protocol == UDP:
            return packets.udp(*SERVER, OWN, port)
        return packets.tcp(*SERVER, OWN, port, SYN)

    held = []
    for _ in range(20):
        each = socket.socket(
            socket.AF_INET, socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
        )
        each.bind(("0.0.0.0", 0))
        if protocol == TCP:
            each.listen()
        held.append(each)
    ports = [each.getsockname()[1] for each in held]
    assert sum(passed(kernel, answer(port), Side.OUTSIDE, 1) for port in ports) == 20
    assert passed(kernel, answer(ports[0]), Side.OUTSIDE) < BURST[Account.FLOW]
    for each in held:
        each.close()
    gone = sum(passed(kernel, answer(port), Side.OUTSIDE, 1) for port in ports)
    assert gone == BURST[Account.UNTRACKED]
