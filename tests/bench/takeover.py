"""What a group of gateways costs: records of flows in a real store, and a takeover by a member that has followed, and
by one that has to read everything first."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import NamedTuple

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.feed import Feed
from ipmasq.continuity.follower import AT_ONCE as FOLLOWED_AT_ONCE
from ipmasq.continuity.follower import Follower
from ipmasq.continuity.held import AT_ONCE as INDEXED_AT_ONCE
from ipmasq.continuity.lease import key
from ipmasq.continuity.sentinels import Connector
from ipmasq.continuity.server import Address, Client, Connect
from ipmasq.core.engine import Engine
from ipmasq.core.keys import pack
from ipmasq.core.side import Side
from ipmasq.gateway import garbage
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.offloading import FILLED_AT_ONCE
from ipmasq.gateway.replication import Publisher, Replication, of_share
from ipmasq.offload.offload import Offloader
from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.filling import PROGRAM
from ipmasq.planes.ebpf.loading import OBJECT
from ipmasq.planes.ebpf.table import Table, sizes
from ipmasq.wire.ipv4 import TCP
from tests.bench.figures import Figure, bench
from tests.bench.fresh import fresh
from tests.bench.restore import AT_ONCE
from tests.bench.traffic import POLICY, PUBLIC, ends, engine, pass_through, segment, tcp_flow

COUNTS = {"100000": 100_000, "1000000": 1_000_000}
LONGEST = 600.0
KEY = b"0123456789abcdef"


class Taken(NamedTuple):
    replicated: float
    """Flows per second that were written to the store."""
    size: float
    """Bytes of the store's memory per flow."""
    received: float
    """Seconds until everything has come from the store and is authentic: less is not possible for `ahead`."""
    tables: float
    """Seconds for entering the keys of all flows and mappings into the tables by which they are found, if they only had
    to be entered: less is not possible for `indexed`."""
    ahead: float
    """Seconds from the lease until all flows stand in the fast path of an empty member, which has no index of them yet."""
    indexed: float
    """Seconds that it takes to index them then."""
    entered: float
    """Seconds from the lease to the first packet, for one that has followed."""
    fast: float
    """Seconds from the lease until all of its flows stand in the fast path, without the time for packets in between."""
    rest: float
    """Seconds of work until all flows are in the engine, without the time for packets in between."""


@bench("takeover")
def takeover(runs: int) -> Iterator[Figure]:
    for word, count in COUNTS.items():
        taken = [fresh(taken_over, count) for _ in range(runs if count == 100_000 else 1)]
        start = f"takeover.{word}"
        yield Figure(f"{start}.replicated", "flows/s", [each.replicated for each in taken])
        yield Figure(f"{start}.bytes", "bytes/flow", [each.size for each in taken])
        yield Figure(f"{start}.received.s", "s", [each.received for each in taken])
        yield Figure(f"{start}.tables.s", "s", [each.tables for each in taken])
        yield Figure(f"{start}.followed.s", "s", [each.entered for each in taken])
        yield Figure(f"{start}.fast.s", "s", [each.fast for each in taken])
        yield Figure(f"{start}.rest.s", "s", [each.rest for each in taken])
        yield Figure(f"{start}.empty.s", "s", [each.ahead for each in taken])
        served = [each.ahead + each.indexed + each.entered for each in taken]
        yield Figure(f"{start}.empty.served.s", "s", served)


def taken_over(count: int) -> Taken:
    policy = replace(POLICY, public=PUBLIC[: 1 + count // 40_000])
    active, now = engine(policy), 1.0
    for number in range(count):
        now = 1 + number * 1e-5
        tcp_flow(active, number, now)
        active.events()
    with tempfile.TemporaryDirectory() as directory:
        store = f"{directory}/store"
        command = ["redis-server", "--port", "0", "--unixsocket", store, "--save", ""]
        with subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL) as process:
            try:
                _until(Path(store).exists)
                return _measure(active, Connector(Address.parse(f"unix://{store}")), count)
            finally:
                process.kill()


def _measure(active: Engine, connect: Connect, count: int) -> Taken:
    seal, loop = Seal(KEY, "bench", "records"), Loop()
    client = connect(5.0)
    before = client.info("memory")["used_memory"]
    publisher = Publisher(active, loop)
    feed = Feed(connect, seal, "bench", "one", 1, lambda: None)
    loop.between(publisher.turn)
    began = time.monotonic()
    publisher.add(Replication(publisher, feed, 0.002, 1.0, of_share(active, "")))
    _until(lambda: loop.round() or feed.snapshot_size)
    replicated = count / (time.monotonic() - began)
    size = (client.info("memory")["used_memory"] - before) / count
    feed.close()
    received = _receive(client, seal)
    follower = Follower(connect, seal, "bench", time.monotonic, lambda: None)
    began = time.monotonic()
    follower.finish()
    while not follower.is_read:
        follower.step()
    read = time.monotonic() - began
    ahead = read + _filled(follower.held.newest(FILLED_AT_ONCE), count, engine(active.policy))
    began = time.monotonic()
    follower.index()
    while not follower.is_finished:
        follower.step()
    indexed = time.monotonic() - began
    began = time.monotonic()
    inside, server = ends(count // 2)
    kept, plain = follower.held.of_engine(), follower.held.plain
    made = Engine.from_records(active.policy, Random(1).randrange, kept, began, True, plain)
    garbage.keep_new()
    pass_through(made, segment(inside, server, 0, 0), Side.INSIDE, began)
    entered = time.monotonic() - began
    assert made.table.count == count
    assert made.table.unrestored is not None
    fast = entered + _filled(made.table.unrestored.rows(FILLED_AT_ONCE), count, made)
    began = time.perf_counter()
    while not made.is_restored:
        made.restore_some(AT_ONCE)
        garbage.keep_new()
    assert len(made.table.flows) == count
    rest = time.perf_counter() - began
    return Taken(replicated, size, received, _enter(count), ahead, indexed, entered, fast, rest)


def _enter(count: int) -> float:
    """Return how long it takes to fill tables like those of `ipmasq.core.indexed`, so many at a time as that does."""
    taken = 0.0
    tables: list[dict[bytes, object]] = [{}, {}, {}, {}]
    for at in range(0, count, INDEXED_AT_ONCE):
        numbers = range(at, min(count, at + INDEXED_AT_ONCE))
        keys = [[bytes((kind, *number.to_bytes(12))) for number in numbers] for kind in range(4)]
        began = time.perf_counter()
        for table, some in zip(tables, keys, strict=True):
            table.update(zip(some, numbers, strict=True))
        taken += time.perf_counter() - began
    return taken


def _filled(rows: Iterator[bytes], count: int, made: Engine) -> float:
    """Return how long it takes to fill the table of a fast path with these flows."""
    image = files("ipmasq.planes.ebpf").joinpath(OBJECT).read_bytes()
    programs = libbpf.Object(image, sizes(2 * count), [PROGRAM])
    with closing(programs), closing(Table(programs, 2 * count)) as table:
        offloader = Offloader(made, table, time.monotonic)
        assert table.can_fill
        began = time.perf_counter()
        for some in rows:
            offloader.fill(some)
        taken = time.perf_counter() - began
        there = [_stands(table, number) for number in range(0, count, count // 97)]
        assert sum(there) >= len(there) - 1, "all but the one that a packet has restored"
        made.set_counter_source(None)
        made.set_mark_source(None)
    return taken


def _stands(table: Table, number: int) -> bool:
    key = layout.key(pack(*ends(number)), TCP, Side.INSIDE)
    return table.slots.find(key) is not None


def _receive(client: Client, seal: Seal) -> float:
    """Return how long it takes to receive and authenticate all entries."""
    began, stream, last = time.monotonic(), key("bench", "stream"), "0"
    while found := client.xread({stream: last}, count=FOLLOWED_AT_ONCE):
        for entry_id, fields in found[0][1]:
            seal.read(fields[b"e"])
            last = entry_id
    return time.monotonic() - began


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LONGEST
    while not true():
        assert time.monotonic() < end, "this did not happen"
