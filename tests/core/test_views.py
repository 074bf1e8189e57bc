"""What is shown of the engine is a copy that nobody can change."""

from __future__ import annotations

import dataclasses

import pytest

from ipmasq.core import views
from tests.conformance.world import IN1, OUT1, World

KINDS = [
    kind
    for kind in vars(views).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_is_frozen(kind: type):
    view = kind(*[0] * len(dataclasses.fields(kind)))
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(view, name, 1)


def test_a_view_stays_as_it_was_when_its_flow_goes_on():
    world = World()
    world.udp(IN1, 5000, OUT1, 53)
    before = world.flow
    world.now += 5
    world.udp(IN1, 5000, OUT1, 53)
    assert before.packets_out == 1
    assert world.flow.packets_out == 2
    assert world.flow.last_seen == before.last_seen + 5
