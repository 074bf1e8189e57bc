"""Which routing rules are a gateway's, though no record says so."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import ALL_PORTS, Claim, PortRange
from ipmasq.planes.tun.steering import (
    LOCAL,
    LOCAL_TABLE,
    HostState,
    RoutingRule,
    base_rules,
    claim_rules,
)
from ipmasq.planes.tun.unrecorded import is_own, own_rules
from ipmasq.wire.addresses import to_address, to_network

OWN, POOL = to_address("203.0.113.1"), to_address("203.0.113.50")
HOST = HostState("go", ("gi", "gj"), (to_network("10.0.0.0/24"),), frozenset({OWN}))
CLAIMS = [
    Claim(protocol, address, PortRange(61000, 65095) if protocol != 1 else ALL_PORTS)
    for address in (OWN, POOL)
    for protocol in (1, 6, 17)
]


@pytest.mark.parametrize("unmarked", [0, 0x1000_0000])
def test_every_rule_that_a_gateway_makes_is_its_own(unmarked: int):
    rules = *base_rules(HOST, unmarked), *claim_rules(HOST, CLAIMS, unmarked)
    assert {rule.priority for rule in rules} == {1, 2, 4, 5}
    assert all(map(is_own, (*rules, RoutingRule(LOCAL, LOCAL_TABLE))))


@pytest.mark.parametrize(
    "rule",
    [
        RoutingRule(0, LOCAL_TABLE),
        RoutingRule(2, LOCAL_TABLE),
        RoutingRule(1, LOCAL_TABLE, None, to_network("203.0.113.1/32"), 6),
        RoutingRule(2, 100, "go", to_network("203.0.113.1/32")),
        RoutingRule(4, 254, "gi"),
        RoutingRule(4, 61002, "gi"),
        RoutingRule(5, 61002, "go"),
        RoutingRule(100, 61001, "gi"),
    ],
)
def test_rules_of_others_are_not(rule: RoutingRule):
    assert not is_own(rule)


def test_rules_that_lead_to_local_are_its_own_only_beside_what_leads_to_its_tables():
    """systemd-networkd gives its rules the same protocol."""
    moved, kept = (
        RoutingRule(LOCAL, LOCAL_TABLE),
        RoutingRule(1, LOCAL_TABLE, None, to_network("203.0.113.1/32"), 6, PortRange(1, 99)),
    )
    (base, *_), others = (
        base_rules(HOST),
        [RoutingRule(100, 61001, "gi"), RoutingRule(0, LOCAL_TABLE)],
    )
    assert own_rules([moved, kept, *others], False) == []
    assert own_rules([moved, kept, *others], True) == [moved, kept]
    assert own_rules([moved, kept, base, *others], False) == [moved, kept, base]
