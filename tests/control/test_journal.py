"""The journal of events, and readers that are slow."""

from __future__ import annotations

from ipmasq.control.journal import Journal, Reader
from ipmasq.core.events import ForwardAdded


def test_a_slow_reader_loses_the_oldest_events_and_learns_how_many():
    journal = Journal(kept=10)
    slow, quick = Reader(journal), Reader(journal)
    for at in range(25):
        journal.tell([ForwardAdded(at, "x")])
        assert quick.take(5) == (0, [ForwardAdded(at, "x")])
    assert slow.take(4) == (15, [ForwardAdded(at, "x") for at in range(15, 19)])
    assert slow.take(100) == (0, [ForwardAdded(at, "x") for at in range(19, 25)])
    assert slow.take(100) == (0, [])


def test_a_reader_may_begin_with_what_has_happened_already():
    journal = Journal(kept=3)
    journal.tell([ForwardAdded(at, "x") for at in range(5)])
    assert Reader(journal, 2).take(9)[1] == [ForwardAdded(at, "x") for at in (3, 4)]
    assert Reader(journal, 99).take(9) == (0, [ForwardAdded(at, "x") for at in (2, 3, 4)])
