"""The table of flows, and its count of itself."""

from __future__ import annotations

import pytest

from ipmasq.core.keys import pack
from ipmasq.core.side import Side
from tests.core.tables import INSIDE, REMOTES, UDP, flow_to, table


def test_a_mapping_lives_as_long_as_its_last_flow_or_expectation():
    nat = table()
    flows = [flow_to(nat, remote, n) for n, remote in enumerate(REMOTES)]
    for flow in flows:
        nat.add(flow)
        nat.check()
    (mapping,) = list(nat.mappings)
    assert mapping.flows == 3
    mapping.expectations += 1
    for flow in flows:
        assert list(nat.mappings) == [mapping]
        nat.remove(flow)
    mapping.expectations -= 1
    nat.mappings.drop_unused(mapping)
    assert list(nat.mappings) == []
    nat.check()


def test_both_directions_of_a_flow_find_it_on_their_own_side_only():
    nat = table()
    flow = flow_to(nat, REMOTES[0])
    assert nat.add(flow)
    assert not nat.add(flow), "it is there already"
    nat.check()
    assert nat.find(Side.INSIDE, UDP, pack(INSIDE, REMOTES[0])) is flow.original
    public = next(iter(nat.mappings)).public
    assert nat.find(Side.OUTSIDE, UDP, pack(REMOTES[0], public)) is flow.reply
    assert nat.find(Side.OUTSIDE, UDP, pack(INSIDE, REMOTES[0])) is None
    assert nat.find(Side.INSIDE, 6, pack(INSIDE, REMOTES[0])) is None


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
