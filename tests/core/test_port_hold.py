"""Ports that may have been other hosts' before all state was lost."""

from __future__ import annotations

from random import Random

import pytest

from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.policy import Behaviour
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from tests.conformance.packets import UDP
from tests.conformance.world import IN1, OUT1, OUT2, World
from tests.core.restored import kept, plain, restored
from tests.core.stress import POLICY

START = 2.0**24
"""Ages are exact near this time."""


@pytest.mark.row("6888-8")
def test_ports_are_held_for_the_rest_of_the_time_after_a_restart():
    engine = Engine(POLICY, Random(1).randrange, START)
    assert not restored(engine, Random(1), START).manager.admission.port_hold.is_on
    engine.manager.admission.port_hold.lost_at = START
    for later in (0.0, 60.0, 119.0):
        other = restored(engine, Random(1), START, START + later)
        assert other.manager.admission.port_hold.lost_at == START + later
    engine.tick(START + 100)
    other = restored(engine, Random(1), START + 100)
    other.tick(START + 119)
    assert other.manager.admission.port_hold.is_on
    other.tick(START + 120)
    assert not other.manager.admission.port_hold.is_on
    assert plain(other, START + 120) == plain(restored(other, Random(1), START + 120), START + 120)


def test_a_state_without_it_is_one_of_an_earlier_release():
    engine = Engine(POLICY, Random(1).randrange, START)
    records = kept(engine, START)
    (rest,) = [each for each in records if each.kind == Kind.REST]
    del rest.row["lost"]
    made = Engine.from_records(POLICY, Random(1).randrange, records, START)
    assert not made.manager.admission.port_hold.is_on


def test_an_explanation_says_why_the_filter_is_another_one_and_for_how_long():
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT)
    public = world.udp(IN1, 5000, OUT1, 80).one.source

    def steps() -> str:
        asked = Endpoint(OUT2, 80), Endpoint(*public), Side.OUTSIDE
        return " ".join(world.engine.explain(UDP, *asked, world.now).steps)

    assert "port_hold" not in steps()
    world.engine.manager.admission.port_hold.lost_at = world.now
    world.later(20)
    world.udp(OUT2, 80, *public).is_dropped(Reason.FILTERED)
    assert "for 100 s more it admits only known addresses" in steps()
