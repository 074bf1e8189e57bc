"""What a plane is asked to bring to the engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.policy import ALL_PORTS, Claim, Policy, PortRange
from ipmasq.core.side import Side
from ipmasq.gateway.claims import (
    MOST_LASTING,
    LastingSockets,
    Ranges,
    UnpublishedPorts,
    without_host_ports,
)
from ipmasq.wire.addresses import Endpoint, to_address
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.control.running import E1, OUT1
from tests.control.running import POLICY as FORWARDING

PUBLIC, POOL = to_address("203.0.113.1"), to_address("203.0.113.50")
RANGE = PortRange(61000, 65095)
OWN = frozenset({PUBLIC})


def left(
    claims: Sequence[Claim],
    in_use: set[tuple[int, int]],
    mapped: Collection[tuple[int, Endpoint]] = (),
    ranges: Collection[PortRange] = (RANGE,),
) -> tuple[Claim, ...]:
    def is_mapped(protocol: int, public: Endpoint) -> bool:
        return (protocol, public) in mapped

    return without_host_ports(claims, ranges, OWN, frozenset(in_use), is_mapped)


def test_ports_that_the_host_uses_inside_the_range_are_left_to_it() -> None:
    in_use = {(6, 61005), (6, 61006), (6, 61000), (6, 65095), (17, 61007), (6, 22)}
    assert left([Claim(6, PUBLIC, RANGE)], in_use) == (
        Claim(6, PUBLIC, PortRange(61001, 61004)),
        Claim(6, PUBLIC, PortRange(61007, 65094)),
    )


def test_a_forwarded_port_is_claimed_even_if_the_host_uses_it() -> None:
    claim = Claim(6, PUBLIC, PortRange(80, 80))
    assert left([claim], {(6, 80)}) == (claim,)


def test_of_a_pool_address_and_of_icmp_everything_is_claimed() -> None:
    claims = (Claim(6, POOL, RANGE), Claim(1, PUBLIC, ALL_PORTS))
    assert left(claims, {(6, 61005), (1, 61005)}) == claims


@pytest.mark.row("A-22")
def test_a_port_with_a_mapping_is_claimed_whoever_has_bound_it() -> None:
    in_use = {(17, 61005), (17, 61006)}
    mapped = [(17, Endpoint(PUBLIC, 61005)), (6, Endpoint(PUBLIC, 61006))]
    assert left([Claim(17, PUBLIC, RANGE)], in_use, mapped) == (
        Claim(17, PUBLIC, PortRange(61000, 61005)),
        Claim(17, PUBLIC, PortRange(61007, 65095)),
    )
    assert left([Claim(17, PUBLIC, RANGE)], in_use, mapped[1:])[0].ports.high == 61004


def test_a_range_of_before_is_claimed_until_its_last_mapping_ends() -> None:
    def policy(*ports: int) -> Policy:
        return Policy(inside=(), public=(PUBLIC,), own=OWN, ports=PortRange(*ports))

    ranges, before, after = Ranges(), policy(61000, 61009), policy(62000, 62009)
    ranges.follow(before, lambda: [61003])
    assert ranges.claims(before) == ()
    ranges.follow(after, lambda: [61003, 62001])
    assert ranges.claims(after) == tuple(Claim(p, PUBLIC, before.ports) for p in (6, 17))
    assert ranges.all == {before.ports, after.ports}
    ranges.follow(after, lambda: [62001])
    assert ranges.claims(after) == ()
    assert ranges.all == {after.ports}


def test_a_forwarded_port_is_claimed_until_the_last_flow_by_it_ends() -> None:
    engine, departed = Engine(FORWARDING, Random(1).randrange, 0.0), UnpublishedPorts()
    (web,) = [each for each in engine.claims() if each.ports == PortRange(8080, 8080)]

    def follow() -> tuple[Claim, ...]:
        departed.follow(engine.claims(), [engine.policy.ports], engine.manager)
        return departed.claims

    assert follow() == ()
    syn = packets.tcp(OUT1, 4000, E1, 8080, packets.SYN)
    engine.receive(Packet(bytearray(syn)), Side.OUTSIDE, 0.0)
    engine.remove_forward("web", 0.0)
    assert follow() == follow() == (web,)
    engine.add_forward(FORWARDING.forwards[0], 0.0)
    assert follow() == ()
    engine.remove_forward("web", 0.0)
    assert follow() == (web,)
    engine.close(next(iter(engine.table.flows)), 0.0)
    assert follow() == ()


def test_only_ports_that_the_host_keeps_get_rules_of_their_own_and_never_very_many() -> None:
    lasting = LastingSockets()
    lasting.follow(frozenset({(17, 61005), (17, 53)}))
    assert lasting.ports == frozenset()
    lasting.choose([RANGE])
    assert lasting.ports == {(17, 61005)}
    many = frozenset((6, 61000 + n) for n in range(1000))
    lasting.follow(many | {(17, 61005)})
    lasting.choose([RANGE])
    assert len(lasting.ports) == MOST_LASTING
    assert (17, 61005) in lasting.ports
    lasting.follow(frozenset())
    lasting.choose([RANGE])
    assert lasting.ports == frozenset()
