"""Which of the engine's claims the plane is asked for."""

from __future__ import annotations

from ipmasq.core.policy import ALL_PORTS, Claim, Policy, PortRange
from ipmasq.gateway.drive import left_over
from ipmasq.wire.addresses import to_address

PUBLIC, POOL = to_address("203.0.113.1"), to_address("203.0.113.50")
RANGE = PortRange(61000, 65095)
POLICY = Policy(inside=(), public=(PUBLIC, POOL), own=frozenset({PUBLIC}), ports=RANGE)


def test_ports_that_the_host_uses_inside_the_range_are_left_to_it() -> None:
    in_use = frozenset({(6, 61005), (6, 61006), (6, 61000), (6, 65095), (17, 61007), (6, 22)})
    assert left_over([Claim(6, PUBLIC, RANGE)], POLICY, in_use) == (
        Claim(6, PUBLIC, PortRange(61001, 61004)),
        Claim(6, PUBLIC, PortRange(61007, 65094)),
    )


def test_a_forwarded_port_is_claimed_even_if_the_host_uses_it() -> None:
    claim = Claim(6, PUBLIC, PortRange(80, 80))
    assert left_over([claim], POLICY, frozenset({(6, 80)})) == (claim,)


def test_of_a_pool_address_and_of_icmp_everything_is_claimed() -> None:
    claims = (Claim(6, POOL, RANGE), Claim(1, PUBLIC, ALL_PORTS))
    assert left_over(claims, POLICY, frozenset({(6, 61005), (1, 61005)})) == claims
