"""The journal of events, and readers that are slow."""

from __future__ import annotations

import pytest

from ipmasq.control.journal import Journal, Reader
from ipmasq.core.events import Event, FlowFinished, ForwardAdded, HelperFailed, Refused, Rewritten
from ipmasq.core.speaker import Speaker

LINE = bytes(1000)
LONG: tuple[Event, ...] = (
    Rewritten(0, 1, "ftp", Speaker.CLIENT, 0, LINE, b""),
    Rewritten(0, 1, "ftp", Speaker.CLIENT, 0, b"", LINE),
    Refused(0, 1, "ftp", Speaker.CLIENT, "", LINE),
    HelperFailed(0, 1, "ftp", Speaker.CLIENT, b"", "x" * 1000),
)


def test_a_slow_reader_loses_the_oldest_events_and_learns_how_many():
    journal = Journal(kept=10)
    slow, quick = Reader(journal), Reader(journal)
    for at in range(25):
        journal.observe([ForwardAdded(at, "x")])
        assert quick.take(5) == (0, [ForwardAdded(at, "x")])
    assert slow.take(4) == (15, [ForwardAdded(at, "x") for at in range(15, 19)])
    assert slow.take(100) == (0, [ForwardAdded(at, "x") for at in range(19, 25)])
    assert slow.take(100) == (0, [])


def test_the_latest_events_are_kept_and_a_new_reader_begins_after_them():
    journal = Journal(kept=3)
    journal.observe([ForwardAdded(at, "x") for at in range(5)])
    reader = Reader(journal)
    assert journal.kept() == tuple(ForwardAdded(at, "x") for at in (2, 3, 4))
    assert reader.take(9) == (0, [])
    journal.observe([ForwardAdded(5, "x")])
    assert reader.take(9) == (0, [ForwardAdded(5, "x")])


@pytest.mark.parametrize("event", LONG)
def test_fewer_events_are_kept_if_they_have_long_lines(event: Event):
    journal = Journal(kept=100, text=10_000)
    reader = Reader(journal)
    journal.observe([event] * 50)
    assert journal.kept() == (event,) * (journal.end - journal.start)
    assert 8 <= len(journal.kept()) <= 10
    lost, found = reader.take(100)
    assert (lost, len(found)) == (journal.start, 50 - journal.start)
    journal.observe([FlowFinished(0, 1)] * 100)
    assert journal.kept() == (FlowFinished(0, 1),) * 100
    journal.observe([FlowFinished(0, 1), event])
    assert len(journal.kept()) == 100
