"""Which mapping an inside endpoint gets, and when it gets another one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipmasq.core.mapping import Mapping
from ipmasq.core.policy import Behaviour, Limits, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address
from tests.core.tables import INSIDE, PUBLIC, REMOTES, UDP, flow_to, table


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
        table.mappings.map(UDP, INSIDE, remote)
        for table in [table(mapping=behaviour)]
        for remote in REMOTES
    ]
    assert len({mapping.public for mapping in mappings if mapping}) == distinct
    assert {mapping.inside for mapping in mappings if mapping} == {INSIDE}


def test_an_expected_mapping_is_taken_from_the_data_ports_at_the_expected_address():
    other = to_address("203.0.113.9")
    nat = table(data_ports=PortRange(40000, 40001))
    mapping = nat.mappings.map(6, INSIDE, REMOTES[0], announced_at=other)
    assert isinstance(mapping, Mapping)
    assert mapping.narrow
    assert mapping.public.address == other
    assert mapping.public.port in (40000, 40001)


def test_a_retired_mapping_serves_its_flows_but_no_new_ones():
    nat = table()
    flow = flow_to(nat, REMOTES[0])
    nat.add(flow)
    assert flow.mapping is not None
    nat.mappings.retire(flow.mapping)
    fresh = nat.mappings.map(UDP, INSIDE, REMOTES[1])
    assert isinstance(fresh, Mapping)
    assert fresh.public != flow.mapping.public
    nat.remove(flow)
    assert nat.mappings.of(UDP, INSIDE, REMOTES[1]) is fresh


def test_a_host_gets_no_more_ports_than_it_may_have():
    limits = replace(Limits(), ports_per_host=2)
    nat = table(limits=limits, mapping=Behaviour.ADDRESS_AND_PORT_DEPENDENT)
    for port in (1, 2):
        assert isinstance(
            nat.mappings.map(UDP, Endpoint(INSIDE.address, port), REMOTES[0]), Mapping
        )
    assert nat.mappings.map(UDP, Endpoint(INSIDE.address, 3), REMOTES[0]) is Reason.PORT_LIMIT
    assert isinstance(nat.mappings.map(6, Endpoint(INSIDE.address, 3), REMOTES[0]), Mapping)


def test_without_a_public_address_nothing_can_be_mapped():
    assert table(public=()).mappings.map(UDP, INSIDE, REMOTES[0]) is Reason.NO_PORTS


def test_all_mappings_of_a_host_are_at_one_public_address():
    publics = tuple(to_address(f"203.0.113.{n}") for n in range(1, 9))
    nat = table(public=publics)
    made = [nat.mappings.map(UDP, Endpoint(INSIDE.address, port), REMOTES[0]) for port in range(8)]
    assert {each.public.address for each in made if isinstance(each, Mapping)} == {
        nat.mappings.public_for(INSIDE.address)
    }


def test_a_public_endpoint_is_mapped_again_for_the_same_inside_endpoint_only():
    nat = table()
    mapping = nat.mappings.map(UDP, INSIDE, REMOTES[0])
    assert isinstance(mapping, Mapping)
    public, other = mapping.public, Endpoint(INSIDE.address, 6000)
    assert nat.mappings.map_at(UDP, other, public, REMOTES[0]) is None
    nat.mappings.drop_unused(mapping)
    again = nat.mappings.map_at(UDP, other, public, REMOTES[0])
    assert isinstance(again, Mapping)
    assert (again.public, again.inside) == (public, other)
    assert nat.mappings.at(UDP, public) is again
    assert public.address == PUBLIC


def test_usage_names_the_pools_of_which_any_port_is_taken():
    nat = table()
    assert list(nat.mappings.usage()) == []
    flow = flow_to(nat, REMOTES[0])
    assert nat.add(flow)
    (pool,) = nat.mappings.usage()
    assert (pool.protocol, pool.address, pool.used) == (UDP, PUBLIC, 1)


def test_a_port_that_is_shared_is_not_given_to_one_endpoint_alone():
    """A connection goes on after a reset, and ports are not shared any more."""
    nat = table(mapping=Behaviour.ADDRESS_AND_PORT_DEPENDENT)
    server = Side.OUTSIDE, REMOTES[0]
    shared = nat.mappings.map(UDP, INSIDE, REMOTES[0], server=server)
    assert isinstance(shared, Mapping)
    nat.mappings._active.policy = replace(nat.policy, mapping=Behaviour.ENDPOINT_INDEPENDENT)
    other = Endpoint(PUBLIC, shared.port + 1 if shared.port < 61009 else shared.port - 1)
    assert nat.mappings.map_at(UDP, INSIDE, other, REMOTES[0]) is None
