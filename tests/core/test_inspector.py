"""What a flow knows of its inspector."""

from __future__ import annotations

import inspect
from math import inf

import pytest

from ipmasq.core.inspector import Inspected, Inspector
from ipmasq.core.reasons import Reason
from ipmasq.core.tcp_inspector import TcpInspector
from tests.core.conversation import Conversation

VERBS = [name for name in vars(Inspector) if not name.startswith("_")]


@pytest.mark.parametrize("verb", VERBS)
def test_the_inspector_of_tcp_has_every_verb_with_the_same_arguments(verb: str):
    needed, found = vars(Inspector)[verb], inspect.getattr_static(TcpInspector, verb)
    assert isinstance(found, property) is isinstance(needed, property)
    if inspect.isfunction(needed):
        assert list(inspect.signature(found).parameters) == list(
            inspect.signature(needed).parameters
        )


def test_a_flow_with_a_helper_has_an_inspector_of_its_own_number():
    flow = Conversation().open().flow
    inspector = flow.inspector
    assert inspector is not None
    assert inspector.flow_id == flow.id
    assert inspector.is_inspecting
    assert not inspector.is_awaited
    assert inspector.check() == 0, "nothing is kept"


def test_of_a_packet_that_was_dropped_nothing_is_to_be_remembered():
    inspected = Inspected(Reason.BAD_CHECKSUM)
    assert (inspected.packets, inspected.taken, inspected.deadline) == ((), None, inf)
    assert not inspected.is_released
