"""The invariants hold for a living engine, and a planted contradiction is found."""

from __future__ import annotations

import pytest

from ipmasq.core.invariants import check
from tests.core.conversation import Conversation


def test_a_living_engine_satisfies_them() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    check(talk.engine.manager)


def test_memory_that_nobody_uses_is_found() -> None:
    talk = Conversation().open()
    talk.engine.manager.memory.change(b"\n\0\0\2", 1)
    with pytest.raises(AssertionError):
        check(talk.engine.manager)


def test_a_flow_without_a_timer_is_found() -> None:
    talk = Conversation().open()
    (flow,) = talk.engine.table.flows.values()
    talk.engine.manager.timers.cancel(flow)
    with pytest.raises(AssertionError):
        check(talk.engine.manager)
