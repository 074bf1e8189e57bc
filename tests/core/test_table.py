"""Flows and mappings, and what a mapping depends on."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ipmasq.core.flow import End, Flow, pack, source_of
from ipmasq.core.policy import Behaviour, Policy, PortRange
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
    return Table(replace(POLICY, **changes), Random(1).randrange)  # type: ignore[arg-type]


def flow_to(table: Table, remote: Endpoint, number: int = 1) -> Flow:
    mapping = table.map(UDP, INSIDE, remote)
    assert mapping is not None
    ends = End(INSIDE, mapping.public), End(remote, remote)
    flow = Flow(number, UDP, *ends, (Side.INSIDE, Side.OUTSIDE), 0.0)
    flow.mapping = mapping
    return flow


@pytest.mark.parametrize(
    ("address", "size"), [("10.0.0.2", 12), ("2001:db8::1", 36)], ids=["IPv4", "IPv6"]
)
def test_a_key_is_the_fields_of_the_packet_in_either_family(address: str, size: int):
    ends = Endpoint(to_address(address), 5000), Endpoint(to_address(address), 53)
    assert len(pack(*ends)) == size
    assert source_of(pack(*ends)) == ends[0]


@pytest.mark.parametrize(
    ("behaviour", "distinct"),
    [
        (Behaviour.ENDPOINT_INDEPENDENT, 1),
        (Behaviour.ADDRESS_DEPENDENT, 2),
        (Behaviour.ADDRESS_AND_PORT_DEPENDENT, 3),
    ],
)
def test_a_mapping_depends_on_as_much_of_the_remote_end_as_configured(
    behaviour: Behaviour, distinct: int
):
    mappings = [
        table.map(UDP, INSIDE, remote) for table in [table(mapping=behaviour)] for remote in REMOTES
    ]
    assert len({mapping.public for mapping in mappings if mapping}) == distinct
    assert {mapping.inside for mapping in mappings if mapping} == {INSIDE}


def test_a_mapping_lives_as_long_as_its_last_flow_or_promise():
    nat = table()
    flows = [flow_to(nat, remote, n) for n, remote in enumerate(REMOTES)]
    for flow in flows:
        nat.add(flow)
        nat.check()
    (mapping,) = nat.mappings()
    assert mapping.flows == 3
    mapping.expectations += 1
    for flow in flows:
        assert nat.mappings() == [mapping]
        nat.remove(flow)
    mapping.expectations -= 1
    nat.drop_unused(mapping)
    assert nat.mappings() == []
    nat.check()


def test_both_directions_of_a_flow_find_it_on_their_own_side_only():
    nat = table()
    flow = flow_to(nat, REMOTES[0])
    assert nat.add(flow)
    assert not nat.add(flow), "it is there already"
    nat.check()
    assert nat.find(Side.INSIDE, UDP, pack(INSIDE, REMOTES[0])) is flow.original
    public = nat.mappings()[0].public
    assert nat.find(Side.OUTSIDE, UDP, pack(REMOTES[0], public)) is flow.reply
    assert nat.find(Side.OUTSIDE, UDP, pack(INSIDE, REMOTES[0])) is None
    assert nat.find(Side.INSIDE, 6, pack(INSIDE, REMOTES[0])) is None


def test_a_promised_mapping_is_taken_from_the_data_ports_at_the_promised_address():
    other = to_address("203.0.113.9")
    nat = table(data_ports=PortRange(40000, 40001))
    mapping = nat.map(6, INSIDE, REMOTES[0], announced_at=other)
    assert mapping is not None
    assert mapping.narrow
    assert mapping.public.address == other
    assert mapping.public.port in (40000, 40001)


def test_a_retired_mapping_serves_its_flows_but_no_new_ones():
    nat = table()
    flow = flow_to(nat, REMOTES[0])
    nat.add(flow)
    assert flow.mapping is not None
    nat.retire(flow.mapping)
    fresh = nat.map(UDP, INSIDE, REMOTES[1])
    assert fresh is not None
    assert fresh.public != flow.mapping.public
    nat.remove(flow)
    assert nat.mapping_of(UDP, INSIDE, REMOTES[1]) is fresh


def test_a_mapping_knows_its_peers_by_how_many_flows_they_have():
    nat = table()
    flows = [flow_to(nat, remote, n) for n, remote in enumerate(REMOTES)]
    for flow in flows:
        nat.add(flow)
    (mapping,) = nat.mappings()
    one, two = REMOTES[0].address, REMOTES[2].address
    nat.remove(flows[0])
    assert mapping.has_peer(one)
    assert mapping.has_peer(two)
    nat.remove(flows[1])
    assert not mapping.has_peer(one)
    assert mapping.has_peer(two)
    nat.check()


@pytest.mark.parametrize("spoil", ["hosts", "flows", "index"])
def test_a_wrong_count_or_index_is_found(spoil: str):
    nat = table()
    flow = flow_to(nat, REMOTES[0])
    nat.add(flow)
    nat.check()
    assert flow.mapping is not None
    if spoil == "hosts":
        nat.hosts[INSIDE.address] = 2
    elif spoil == "flows":
        flow.mapping.flows = 2
    else:
        del nat.halves[Side.OUTSIDE][UDP][flow.reply.match]
    with pytest.raises((AssertionError, KeyError)):
        nat.check()
