"""The policy in force has one owner."""

from __future__ import annotations

from ipmasq.core.policy import Behaviour
from tests.conformance.packets import UDP
from tests.conformance.world import E1, IN1, OUT1, World


def test_whatever_decides_follows_a_changed_policy_at_once():
    world = World(ttl_delta=-1)
    manager = world.engine.manager
    assert world.udp(IN1, 5000, OUT1, 53).one.ttl == 63
    assert world.udp(IN1, 5000, OUT1, 53).one.ttl == 63
    world.change(ttl_delta=1, filtering=Behaviour.ENDPOINT_INDEPENDENT)
    for holder in (world.engine, manager, manager.table, manager.table.mappings, manager.admission):
        assert holder.policy is manager.active.policy
    public = world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)
    assert world.udp(OUT1, 53, *public).one.ttl == 65
    assert world.udp(OUT1, 53, *public).one.ttl == 65, "also once it is offloadable"
    assert world.engine.table.mappings.at(UDP, public) is not None
