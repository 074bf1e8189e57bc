"""Facts: what every listener may rely on, whatever has happened."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from ipmasq.core import events
from ipmasq.core.events import Event

KINDS = get_args(Event)


def test_every_event_of_the_module_is_one_that_listeners_are_told_of():
    defined = {kind for kind in vars(events).values() if dataclasses.is_dataclass(kind)}
    assert defined == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_begins_with_its_time_and_cannot_be_changed(kind: type[Event]):
    fields = dataclasses.fields(kind)
    assert (fields[0].name, fields[0].type) == ("at", "float")
    event = kind(*[0] * len(fields))  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.at = 1.0  # type: ignore[misc]
    assert not hasattr(event, "__dict__"), "many of them wait at a time"
