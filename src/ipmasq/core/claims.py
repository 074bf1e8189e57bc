"""Claims: packets that must be brought to the engine although they are addressed to the gateway host."""

from __future__ import annotations

from ipmasq.core.policy import ALL_PORTS, Claim, Policy, PortRange
from ipmasq.wire import ipv4


def given_out(policy: Policy) -> tuple[PortRange, ...]:
    """Return the ranges from which mappings get their public ports."""
    return (*policy.ports.ranges, *(policy.data_ports.ranges if policy.data_ports else ()))


def claims(policy: Policy) -> tuple[Claim, ...]:
    """Return the claims: for each public address the ports of mappings, forwards and triggers, and ICMP,
    which has no ports."""
    ranges = given_out(policy)
    claimed = []
    for address in (*policy.public, *policy.elsewhere):
        claimed.append(Claim(ipv4.ICMP, address, ALL_PORTS))
        for protocol in (ipv4.TCP, ipv4.UDP):
            claimed += [Claim(protocol, address, ports) for ports in ranges]
        for forward in policy.forwards:
            if forward.public in (None, address):
                claimed.append(Claim(forward.protocol, address, forward.ports))
        for trigger in policy.triggers:
            claimed.append(Claim(trigger.opens_protocol, address, trigger.opens_ports))
    return tuple(dict.fromkeys(claimed))
