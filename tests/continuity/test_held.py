"""What a standby holds is always what there is, in a form from which an engine goes on at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random

import pytest

from ipmasq.continuity.batches import Part, pack, unpack
from ipmasq.continuity.held import Held
from ipmasq.core import restoring
from ipmasq.core.changes import Kind, Record
from ipmasq.core.compact import FLOW
from ipmasq.core.engine import Engine
from ipmasq.core.indexed import Indexed
from ipmasq.core.restoring import Kept
from tests.core.test_indexed import contents
from tests.core.test_unrestored import START, Later, LaterStress, happens, talked, unwritten


class Followed(Later):
    """The second engine is replaced by one from what a standby holds that has followed it since the last time."""

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.stream: list[tuple[bytes, float]] = []
        self.held = Held()
        self._write(list(self.replaced.records(now)), now)

    def _write(self, records: list[Record], now: float) -> None:
        self.stream.append((pack(Part.CHANGES, records), now))
        self._read(self.held, *self.stream[-1])

    def _read(self, held: Held, data: bytes, now: float) -> None:
        held.apply(unpack(data).changed, now)
        as_if_indexed_at_once(held.plain)

    def follow(self, now: float) -> None:
        self._write(self.replaced.changed(now), now)

    def left(self, before: Engine, now: float) -> tuple[list[Kept], restoring.Later]:
        self.follow(now)
        taken = {(each.kind, each.key): each for each in self.held.of_engine()}
        plain, self.held = self.held.plain, Held()
        for each in self.stream:
            self._read(self.held, *each)
        return list((taken | unwritten(before, now)).values()), plain


def as_if_indexed_at_once(plain: Indexed) -> None:
    """An index that has followed is the same as one of the present rows."""
    other = Indexed.of(plain.compact, plain.mappings.pools)
    assert contents(plain) == contents(other)


@pytest.mark.row("HA-7")
@pytest.mark.parametrize("seed", range(8))
def test_a_standby_that_has_followed_goes_on_like_an_engine_that_was_never_replaced(seed: int):
    """Packets, ends, reloads, a further takeover and a reader of the whole state come in between."""
    both = Followed(START)
    stress, chance = LaterStress(both), Random(seed)
    for _ in range(60):
        happens(stress, chance, 10)
        both.events()
        both.follow(stress.now)
    both.compare(stress.now)
    assert both.restarts > 5
    assert both.waited > 5


def test_a_flow_that_is_plain_no_more_is_held_once() -> None:
    engine = talked()
    held = Held()
    records = list(engine.records(START))
    held.apply(unpack(pack(Part.PART, records)).changed, START)
    flow = next(each for each in records if each.kind == Kind.FLOW)
    assert (held.records.keys() & {flow[:2]}, len(held)) == (set(), len(records))
    held.apply(unpack(pack(Part.CHANGES, [flow._replace(row=["no", "row"])])).changed, START)
    assert (held.records[flow[:2]].row, len(held)) == (["no", "row"], len(records))
    held.apply(unpack(pack(Part.CHANGES, [flow])).changed, START)
    assert (held.records.keys() & {flow[:2]}, len(held)) == (set(), len(records))
    held.apply(unpack(pack(Part.CHANGES, [flow._replace(row=None)])).changed, START)
    assert len(held) == len(records) - 1


def test_rows_that_are_indexed_together_are_those_that_came_last() -> None:
    engine = talked()
    records = list(engine.records(START))
    flows = [each for each in records if each.kind == Kind.FLOW]
    at_once, one_by_one = Held(), Held()
    for moment, some in (START, records), (START + 1, flows[:2]), (START + 2, flows[1:]):
        for held in at_once, one_by_one:
            held.apply(unpack(pack(Part.PART, some)).changed, moment)
        one_by_one.settle()
    assert list(at_once.rows_as_records()) == list(one_by_one.rows_as_records())
    assert contents(at_once.plain) == contents(one_by_one.plain)
    moments = {each.moment for each in at_once.rows_as_records() if each.kind == Kind.FLOW}
    assert moments == {START + 1, START + 2}


@pytest.mark.row("HA-7")
@pytest.mark.parametrize("seed", range(4))
def test_what_is_indexed_late_is_what_would_have_been_indexed_as_it_came(seed: int) -> None:
    """Rows that change, records of flows that are plain no more, and ends come in any order."""
    chance, records = Random(seed), list(talked().records(START))
    late, at_once = Held(), Held()
    late.defer()
    for turn in range(12):
        some = [any_change(chance, each) for each in chance.sample(records, len(records) // 2)]
        changed = unpack(pack(Part.PART, some)).changed
        late.apply(changed, START + turn)
        at_once.apply(changed, START + turn)
    at_once.settle()
    assert late.is_deferred
    assert rows_of(late.newest(2)) == rows_of(at_once.plain.flows.some(1))
    late.index()
    assert not late.is_deferred
    assert list(late.newest(2)) == []
    assert late.records == at_once.records
    assert sorted(late.rows_as_records()) == sorted(at_once.rows_as_records())
    assert contents(late.plain) == contents(at_once.plain)


def any_change(chance: Random, record: Record) -> Record:
    """The same, or something else of this thing."""
    if record.kind != Kind.FLOW or chance.random() < 0.5:
        return record
    other = list(record.row) if isinstance(record.row, list | tuple) else []
    if other:
        other[4] = chance.randrange(1 << 40)  # packets
    return record._replace(row=chance.choice([None, ["no", "row"], other]))


def rows_of(parts: Iterable[bytes]) -> Counter[bytes]:
    return Counter(
        part[at : at + FLOW.size] for part in parts for at in range(0, len(part), FLOW.size)
    )
