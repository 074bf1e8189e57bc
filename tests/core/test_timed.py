"""Things that are due at the same moment have an order that does not depend on when their timers were set."""

from __future__ import annotations

from ipmasq.core import events
from ipmasq.core.timed import order
from tests.core.conversation import Conversation


def test_the_oldest_flow_comes_first_whichever_timer_was_set_last() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    manager = talk.engine.manager
    (flow,), (expectation,) = manager.table.flows.values(), manager.expectations
    things = [flow.inspector, expectation, flow]
    assert sorted(things, key=order) == [flow, expectation, flow.inspector]


def test_expectations_that_end_at_the_same_moment_end_oldest_first() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    talk.client(b"PORT 10,0,0,2,4,2\r\n")
    manager = talk.engine.manager
    first, second = manager.expectations
    manager.timers.set(first, first.until + 5)
    manager.timers.set(first, second.due.moment)
    talk.engine.events()
    talk.engine.tick(second.until + 1)
    ended = [e.public for e in talk.engine.events() if isinstance(e, events.ExpectationEnded)]
    assert ended == [first.public, second.public]
