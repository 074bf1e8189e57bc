"""What a standby holds is always what there is, in a form from which an engine goes on at once."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from ipmasq.continuity.batches import Part, pack, unpack
from ipmasq.continuity.held import Held
from ipmasq.core import restoring
from ipmasq.core.changes import Kind, Record
from ipmasq.core.engine import Engine
from ipmasq.core.indexed import Indexed
from ipmasq.core.restoring import Kept
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
    other = Indexed.of(plain.compact, plain.pools)
    for each in (plain, other):
        each.taken = {number: ports for number, ports in each.taken.items() if ports}
    one, other_ = (contents(each) for each in (plain, other))
    assert one == other_


def contents(plain: Indexed) -> dict[str, Any]:
    found = dict(vars(plain))
    found["by_public"] = {
        public: {flows} if isinstance(flows, int) else set(flows.values())
        for public, flows in plain.by_public.items()
    }
    return found


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
