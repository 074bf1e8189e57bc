"""Given these interfaces and claims, these rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.policy import ALL_PORTS, Claim, PortRange
from ipmasq.planes.ebpf.layout import ADMITTED
from ipmasq.planes.tun.steering import (
    CLAIM,
    FROM_INSIDE,
    HANDED_BACK,
    KEEP,
    LAST_PORT,
    LOCAL,
    TO_INSIDE,
    HostState,
    RoutingRule,
    base_rules,
    claim_rules,
    gaps,
    proxied,
    reserved,
)
from ipmasq.wire.addresses import Network, to_address, to_network

PUBLIC, POOL = to_address("203.0.113.1"), to_address("203.0.113.50")
NET = to_network("10.0.0.0/24")
WHERE = HostState("wan", ("lan", "dmz"), (NET,), frozenset({PUBLIC}))
HOST, POOL_HOST = Network(PUBLIC, 32), Network(POOL, 32)
RANGE = PortRange(61000, 65095)

ranges = st.lists(
    st.tuples(st.integers(0, 65535), st.integers(0, 3000)).map(
        lambda pair: PortRange(pair[0], min(65535, sum(pair)))
    ),
    max_size=8,
)


def test_what_comes_from_inside_and_what_wants_in_goes_to_the_engine_after_local() -> None:
    assert base_rules(WHERE) == (
        RoutingRule(FROM_INSIDE, 61001, iif="lan"),
        RoutingRule(FROM_INSIDE, 61001, iif="dmz"),
        RoutingRule(TO_INSIDE, 61002, iif="wan", to=NET),
    )
    assert KEEP < CLAIM < LOCAL < FROM_INSIDE < TO_INSIDE


def test_of_an_own_address_the_host_keeps_the_ports_that_nobody_claims() -> None:
    claims = [Claim(6, PUBLIC, RANGE), Claim(6, PUBLIC, PortRange(80, 80))]
    assert claim_rules(WHERE, claims) == (
        RoutingRule(KEEP, 255, None, HOST, 6, PortRange(1, 79)),
        RoutingRule(KEEP, 255, None, HOST, 6, PortRange(81, 60999)),
        RoutingRule(KEEP, 255, None, HOST, 6, PortRange(65096, 65534)),
        RoutingRule(CLAIM, 61002, "wan", HOST, 6, unmarked=HANDED_BACK),
        RoutingRule(CLAIM, 61001, "lan", HOST, 6),
        RoutingRule(CLAIM, 61001, "dmz", HOST, 6),
    )


def test_between_two_ranges_the_host_keeps_its_own() -> None:
    claims = [Claim(17, PUBLIC, PortRange(1024, 32767)), Claim(17, PUBLIC, PortRange(61000, 65535))]
    kept = [rule.ports for rule in claim_rules(WHERE, claims) if rule.priority == KEEP]
    assert kept == [(1, 1023), (32768, 60999)]
    assert reserved(claims, WHERE.own) == ((1024, 32767), (61000, 65535))


def test_what_the_engine_has_returned_has_the_mark_by_which_the_programs_know_it() -> None:
    assert HANDED_BACK == ADMITTED


def test_icmp_has_no_ports_to_keep() -> None:
    assert claim_rules(WHERE, [Claim(1, PUBLIC, ALL_PORTS)]) == (
        RoutingRule(CLAIM, 61002, "wan", HOST, 1, unmarked=HANDED_BACK),
        RoutingRule(CLAIM, 61001, "lan", HOST, 1),
        RoutingRule(CLAIM, 61001, "dmz", HOST, 1),
    )


def test_a_pool_address_is_claimed_whole_and_answered_for() -> None:
    claims = [Claim(6, POOL, RANGE), Claim(17, POOL, RANGE)]
    assert claim_rules(WHERE, claims) == (
        RoutingRule(CLAIM, 61002, "wan", POOL_HOST),
        RoutingRule(CLAIM, 61001, "lan", POOL_HOST),
        RoutingRule(CLAIM, 61001, "dmz", POOL_HOST),
    )
    assert proxied(WHERE, [*claims, Claim(6, PUBLIC, RANGE)]) == (POOL,)


def test_the_host_gives_up_ports_only_of_its_own_addresses() -> None:
    claims = [Claim(6, POOL, PortRange(1024, 5000)), Claim(6, PUBLIC, RANGE)]
    assert reserved(claims, WHERE.own) == (RANGE,)


def test_an_ipv6_address_makes_the_same_rules() -> None:
    own = to_address("2001:db8::1")
    where = HostState("wan", (), (), frozenset({own}))
    assert claim_rules(where, [Claim(58, own, ALL_PORTS)]) == (
        RoutingRule(CLAIM, 61002, "wan", Network(own, 128), 58, unmarked=HANDED_BACK),
    )


@given(ranges)
def test_every_port_is_either_claimed_or_kept(taken: list[PortRange]) -> None:
    kept = {port for low, high in gaps(taken) for port in range(low, high + 1)}
    claimed = {port for low, high in taken for port in range(low, high + 1)}
    assert kept == set(range(1, LAST_PORT + 1)) - claimed
