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


def test_the_latest_events_are_kept_and_a_new_reader_begins_after_them():
    journal = Journal(kept=3)
    journal.tell([ForwardAdded(at, "x") for at in range(5)])
    reader = Reader(journal)
    assert journal.kept() == tuple(ForwardAdded(at, "x") for at in (2, 3, 4))
    assert reader.take(9) == (0, [])
    journal.tell([ForwardAdded(5, "x")])
    assert reader.take(9) == (0, [ForwardAdded(5, "x")])
