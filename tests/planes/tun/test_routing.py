"""Rules as the kernel has them, and what is said of those that have gone."""

from __future__ import annotations

import pytest
from pyroute2 import IPRoute

from ipmasq.core.policy import PortRange
from ipmasq.planes.tun.changes import IPV4_FAMILY
from ipmasq.planes.tun.routing import again, precedes, rule_of, rule_text
from ipmasq.planes.tun.steering import CLAIM, KEEP, LOCAL, LOCAL_TABLE, RoutingRule
from ipmasq.wire.addresses import to_network

PUBLIC = to_network("203.0.113.1/32")


def test_the_kernels_own_rules_are_read_as_what_they_are() -> None:
    with IPRoute() as kernel:
        found = [rule_of(message) for message in kernel.get_rules(family=IPV4_FAMILY)]
    assert RoutingRule(32766, 254) in found


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (RoutingRule(LOCAL, LOCAL_TABLE), "3: from all lookup local"),
        (
            RoutingRule(CLAIM, 61002, "wan", PUBLIC, 6, unmarked=0x10000000),
            "2: from all to 203.0.113.1/32 fwmark 0/0x10000000 iif wan ipproto 6 lookup 61002",
        ),
        (
            RoutingRule(KEEP, LOCAL_TABLE, None, PUBLIC, 17, PortRange(1, 1023)),
            "1: from all to 203.0.113.1/32 ipproto 17 dport 1-1023 lookup local",
        ),
    ],
)
def test_a_rule_is_named_as_ip_shows_it(rule: RoutingRule, text: str) -> None:
    assert rule_text(rule) == text


def test_only_a_rule_for_all_of_the_hosts_addresses_before_ours_precedes() -> None:
    assert precedes(RoutingRule(0, LOCAL_TABLE))
    assert not precedes(RoutingRule(LOCAL, LOCAL_TABLE))
    assert not precedes(RoutingRule(KEEP, LOCAL_TABLE, None, PUBLIC, 6, PortRange(1, 9)))
    assert not precedes(RoutingRule(0, 254))


def test_many_rules_that_have_gone_at_once_are_told_of_in_one_sentence() -> None:
    assert list(again("ip rule", [], "")) == []
    (one,) = again("ip rule", ["3: from all lookup local"], "")
    assert one.setting == "ip rule 3: from all lookup local"
    (many,) = again("ip rule", ["a", "b", "c"], "no")
    assert many.setting == "ip rule a and 2 more of the gateway's"
    assert many.what_is_wrong() == "ip rule a and 2 more of the gateway's is missing: no"
