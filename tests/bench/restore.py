"""How long the first packet waits after a crash, with plain flows in the embedded store: they are restored when something asks for
them. Compared with restoring all of them before."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from ipmasq.continuity.encoding import encode
from ipmasq.continuity.kept import Found, Location
from ipmasq.core.engine import Engine
from ipmasq.core.restoring import Kept
from ipmasq.core.side import Side
from ipmasq.gateway import garbage
from tests.bench.figures import Figure, bench
from tests.bench.fresh import fresh
from tests.bench.traffic import POLICY, ends, engine, pass_through, segment, tcp_flow

FLOWS = 100_000
NOW = 4.0
"""When the gateway starts again. The flows were opened in the second before 2."""
MOST_RUNS = 3
BATCH = 1000
"""Records that are written at once."""

AT_ONCE = 50
"""Flows that are restored in the background between packets."""


class Restored(NamedTuple):
    first: float
    """Seconds from the start until the first packet has left."""
    rest: float
    """Seconds of work until all flows are restored, without the time for packets in between."""


@bench("continuity.restore")
def restore(runs: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        size = fresh(write, directory)
        count = min(runs, MOST_RUNS)
        later = [fresh(read, directory, is_later=True) for _ in range(count)]
        at_once = [fresh(read, directory, is_later=False) for _ in range(count)]
    start = f"continuity.restore.{FLOWS}"
    first = [each.first for each in later]
    yield Figure(f"{start}.first.s", "s", first, f"{start}.first_at_once.s")
    yield Figure(f"{start}.rest.s", "s", [each.rest for each in later])
    yield Figure(f"{start}.first_at_once.s", "s", [each.first for each in at_once])
    yield Figure(f"{start}.bytes", "bytes/flow", [size / FLOWS])


def location(directory: str) -> Location:
    return Location(Path(directory) / "state.db", {"boot": "same"}, False)


def write(directory: str) -> int:
    """Fill a store. Return its size in bytes."""
    active, now = engine(now=1.0), 1.0
    for number in range(FLOWS):
        now += 1e-5
        tcp_flow(active, number, now)
        active.events()
    store = location(directory).find(now, 0.0).store
    assert store is not None
    records = list(active.records(now))
    for at in range(0, len(records), BATCH):
        store.append(encode(now, 0.0, records[at : at + BATCH]))
    store.close()
    return sum(each.stat().st_size for each in Path(directory).iterdir())


def read(directory: str, is_later: bool) -> Restored:
    """Continue from the store, as after a crash two seconds later."""
    client, server = ends(0)
    began = time.perf_counter()
    with garbage.collect_all():
        found = location(directory).find(NOW, 0.0)
        paused = time.perf_counter()
        if not is_later:
            found.kept += expanded(found)
            found.plain = None
        paused = time.perf_counter() - paused
        chance = Random(1).randrange
        made = Engine.from_records(POLICY, chance, found.kept, NOW, True, found.plain)
    pass_through(made, segment(client, server, 0, 0), Side.INSIDE, NOW)
    first = time.perf_counter() - began - paused
    assert made.table.count == FLOWS
    began = time.perf_counter()
    while not made.is_restored:
        made.restore_some(AT_ONCE)
        garbage.keep_new()
    rest = time.perf_counter() - began
    assert len(made.table.flows) == FLOWS
    return Restored(first, rest)


def expanded(found: Found) -> list[Kept]:
    """The records of plain flows and of mappings, which a store without rows would give."""
    assert found.plain is not None
    return [
        Kept(*record, NOW if moment is None else moment) for record, moment in found.plain.records()
    ]
