"""Mappings of a state are entered into another table as they were."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest

from ipmasq.core.mapping import Mapping
from ipmasq.core.mapping_state import claim_ports, restore_mapping, restore_pool
from ipmasq.core.mapping_table import MappingTable
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.policy import Behaviour
from ipmasq.wire.addresses import Endpoint, to_address
from tests.core.restored import serialised
from tests.core.tables import INSIDE, REMOTES, UDP, flow_to, table


@pytest.mark.parametrize("behaviour", Behaviour)
def test_mappings_and_free_ports_are_the_same_after_their_state(behaviour: Behaviour):
    before, after = table(mapping=behaviour), table(mapping=behaviour)
    for number, remote in enumerate(REMOTES):
        before.add(flow_to(before, remote, number))
    retired = next(iter(before.mappings))
    before.mappings.retire(retired)
    restore(after.mappings, *rows(before.mappings))
    assert rows(after.mappings) == rows(before.mappings)
    assert after.mappings.ports == before.mappings.ports
    assert [len(pool) for pool in after.mappings.usage()] == [
        len(pool) for pool in before.mappings.usage()
    ]
    taken = {each.port for each in after.mappings}
    fresh = after.mappings.map(UDP, INSIDE, Endpoint(to_address("192.0.2.1"), 1))
    assert isinstance(fresh, Mapping)
    assert behaviour is Behaviour.ENDPOINT_INDEPENDENT or fresh.port not in taken


def test_two_mappings_of_one_port_are_refused():
    before, after = table(), table()
    before.add(flow_to(before, REMOTES[0]))
    pools, mappings = rows(before.mappings)
    with pytest.raises(StateError, match=r"^mapping\[0\]: port \d+ has two mappings$"):
        restore(after.mappings, pools, mappings * 2)


def test_a_mapping_without_its_pool_is_refused():
    before, after = table(), table()
    before.add(flow_to(before, REMOTES[0]))
    with pytest.raises(StateError, match=r"^mapping\[0\]: there is no pool 0$"):
        restore(after.mappings, [], rows(before.mappings)[1])
    with pytest.raises(StateError, match=r"^pool\[0\]: there is no pool 6$"):
        restore_pool(after.mappings, 7, Fields(before.mappings.pool_row(0), "pool"))


Rows: TypeAlias = list[tuple[int, Any]]


def rows(mappings: MappingTable) -> tuple[Rows, Rows]:
    """The pools and mappings as serialised rows, each after its number."""
    return (
        [(pool.number, serialised(mappings.pool_row(pool.number))) for pool in mappings.numbered],
        [(each.number, serialised(mappings.row(each.number))) for each in mappings],
    )


def restore(mappings: MappingTable, pools: Rows, rows: Rows) -> None:
    for number, row in pools:
        restore_pool(mappings, number, Fields(row, "pool"))
    for number, row in rows:
        restore_mapping(mappings, number, Fields(row, "mapping"))
    claim_ports(mappings)
