"""A table of flows of one inside host, for tests."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ipmasq.core.active import ActivePolicy
from ipmasq.core.ends import End, Ends
from ipmasq.core.flow import Flow
from ipmasq.core.mapping import Mapping
from ipmasq.core.policy import Policy, PortRange
from ipmasq.core.side import Side
from ipmasq.core.table import Table
from ipmasq.wire.addresses import Endpoint, to_address, to_network

UDP = 17
PUBLIC = to_address("203.0.113.1")
INSIDE = Endpoint(to_address("10.0.0.2"), 5000)
REMOTES = [
    Endpoint(to_address("198.51.100.1"), 53),
    Endpoint(to_address("198.51.100.1"), 54),
    Endpoint(to_address("198.51.100.2"), 53),
]
POLICY = Policy(
    inside=(to_network("10.0.0.0/24"),), public=(PUBLIC,), ports=PortRange(61000, 61009)
)


def table(**changes: object) -> Table:
    policy = replace(POLICY, **changes)  # type: ignore[arg-type]
    return Table(ActivePolicy(policy), Random(1).randrange)


def flow_to(table: Table, remote: Endpoint, number: int = 1) -> Flow:
    mapping = table.mappings.map(UDP, INSIDE, remote)
    assert isinstance(mapping, Mapping)
    ends = Ends(End(INSIDE, mapping.public), End(remote, remote))
    flow = Flow(number, UDP, ends, (Side.INSIDE, Side.OUTSIDE), 0.0)
    flow.mapping = mapping
    return flow
