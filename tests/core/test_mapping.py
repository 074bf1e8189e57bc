"""One mapping: its endpoints, and the peers of its flows."""

from __future__ import annotations

import pytest

from ipmasq.core.keys import endpoint_key, pack
from ipmasq.core.mapping import Mapping, NarrowMapping, SharedMapping
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.policy import PortRange
from ipmasq.core.ports import PortPool
from ipmasq.wire.addresses import Endpoint
from tests.core.restored import serialised
from tests.core.tables import INSIDE, PUBLIC, REMOTES, UDP, flow_to, table


def test_a_mapping_knows_its_peers_by_how_many_flows_they_have():
    nat = table()
    flows = [flow_to(nat, remote, n) for n, remote in enumerate(REMOTES)]
    for flow in flows:
        nat.add(flow)
    (mapping,) = list(nat.mappings)
    one, two = REMOTES[0].address, REMOTES[2].address
    nat.remove(flows[0])
    assert mapping.has_peer(one)
    assert mapping.has_peer(two)
    nat.remove(flows[1])
    assert not mapping.has_peer(one)
    assert mapping.has_peer(two)
    nat.check()


def test_a_mapping_says_its_endpoints_and_protocol():
    pool: PortPool[Mapping] = PortPool(UDP, PUBLIC, PortRange(61000, 61009))
    mapping = Mapping(endpoint_key(UDP, INSIDE) + REMOTES[0].address, pool, 61003)
    assert mapping.protocol == UDP
    assert mapping.inside == INSIDE
    assert mapping.public == Endpoint(PUBLIC, 61003)
    assert not mapping.narrow
    assert not mapping.shared
    assert NarrowMapping(mapping.key, pool, 61004).narrow


def test_a_shared_mapping_counts_its_flows_and_admits_no_peer():
    mapping = SharedMapping(PortPool(UDP, PUBLIC, PortRange(61000, 61009)), 61003)
    rewrite = pack(REMOTES[0], INSIDE)
    mapping.add_flow(rewrite)
    assert (mapping.flows, mapping.shared) == (1, True)
    assert not mapping.has_peer(REMOTES[0].address)
    mapping.drop_flow(rewrite)
    assert mapping.flows == 0


KEY = endpoint_key(UDP, INSIDE)


@pytest.mark.parametrize("kind", [Mapping, NarrowMapping])
def test_a_mapping_is_the_same_after_its_state(kind: type[Mapping]):
    pool: PortPool[Mapping] = PortPool(UDP, PUBLIC, PortRange(61000, 61009))
    mapping = kind(endpoint_key(UDP, INSIDE), pool, 61003)
    after = Mapping.from_state(
        Fields(serialised((mapping.key, mapping.narrow)), "mapping"), pool, 61003
    )
    assert type(after) is kind
    assert (after.key, after.port, after.flows) == (mapping.key, 61003, 0)


@pytest.mark.parametrize(
    ("port", "state", "message"),
    [
        (61010, [KEY, False], "mapping[0]: port 61010 is not of its pool"),
        (61003, [b"\x06", False], "mapping[0]: is not of its pool"),
        (61003, [KEY, 1], "mapping[1]: expected a boolean, not int 1"),
    ],
)
def test_a_mapping_that_its_pool_cannot_have_is_refused(port: int, state: object, message: str):
    pool: PortPool[Mapping] = PortPool(UDP, PUBLIC, PortRange(61000, 61009))
    with pytest.raises(StateError) as caught:
        Mapping.from_state(Fields(state, "mapping"), pool, port)
    assert str(caught.value) == message
