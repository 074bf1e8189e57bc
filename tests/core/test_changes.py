"""What changed is noted for a store, once for each thing, and only if there is a store."""

from __future__ import annotations

from ipmasq.core.changes import Changes, Kind


def mark(changes: Changes) -> None:
    for _ in range(2):
        changes.flow(7)
        changes.mapping(61000)
        changes.other(Kind.TRIGGER, "game")
        changes.all_small()


def test_without_a_store_nothing_is_noted() -> None:
    changes = Changes()
    mark(changes)
    changes.inspected(8)
    assert changes.is_empty()
    assert not changes.is_dependent


def test_each_thing_is_noted_once() -> None:
    changes = Changes()
    changes.is_kept = True
    mark(changes)
    assert (changes.flows, changes.mappings, changes.others) == (
        {7},
        {61000},
        {(Kind.TRIGGER, "game")},
    )
    assert changes.rest
    assert not changes.is_dependent
    changes.clear()
    assert changes.is_empty()
    assert not changes.rest


def test_packets_depend_on_what_an_inspector_did() -> None:
    changes = Changes()
    changes.is_kept = True
    changes.inspected(8)
    assert changes.is_dependent
    assert changes.flows == {8}
    changes.clear()
    assert not changes.is_dependent
