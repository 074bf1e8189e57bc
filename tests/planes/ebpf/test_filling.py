"""Flows that another gateway has served are filled into the table by a program, as the gateway itself would enter them."""

from __future__ import annotations

import errno
import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from ipmasq.core.compact import FLOW, HAS_MARKS, IS_OFFLOADABLE
from ipmasq.core.offloading import Rewrite
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import filling, layout, libbpf
from ipmasq.planes.ebpf.layout import Hook, Use
from ipmasq.planes.ebpf.slots import Slots, room
from ipmasq.planes.ebpf.table import DISCARDED, Table, homes, sizes
from tests.conformance import packets
from tests.conformance.packets import ACK, ICMP, TCP, UDP
from tests.planes.ebpf.kernel import OBJECT, Kernel, network
from tests.planes.ebpf.model import Model, halves_of

pytestmark = pytest.mark.live
SIZE = layout.Key.size + layout.Half.size
CLIENT, SERVER, PUBLIC = bytes((10, 0, 0, 2)), bytes((203, 0, 113, 2)), bytes((203, 0, 113, 1))
NOW = 5e7


def row(
    number: int,
    protocol: int = TCP,
    bits: int = IS_OFFLOADABLE,
    positions: tuple[int, int] = (0, 0),
    marks: tuple[int, int] = (0, 0),
    sides: tuple[Side, Side] = (Side.INSIDE, Side.OUTSIDE),
    keys: tuple[bytes, bytes] | None = None,
) -> bytes:
    """A flow from the client's port of this number, unless there are `keys` of what leaves for the client and for the
    server."""
    back, out = keys or (
        struct.pack("!4s4sHH", SERVER, CLIENT, 80, number),
        struct.pack("!4s4sHH", PUBLIC, SERVER, 20_000 + number, 80),
    )
    return FLOW.pack(
        protocol, sides[0], back, protocol, sides[1], out, 16, bits, 0, 0, b"",
        1.0, 2.0, 3.0, 4, 5, positions[0], 6, 7, positions[1], *marks,
    )  # fmt: skip


def any_row(chance: Random, numbers: int) -> bytes:
    """One of so many flows, or any other, perhaps with the same key in both directions."""
    back, out = chance.randbytes(12), chance.randbytes(12)
    return row(
        chance.randrange(numbers),
        chance.choice((TCP, TCP, UDP, 1)),
        chance.randrange(16),
        (chance.getrandbits(64), chance.getrandbits(64)),
        (chance.getrandbits(64), chance.getrandbits(64)),
        (chance.choice(list(Side)), chance.choice(list(Side))),
        chance.choice((None, None, None, (back, out), (back, back))),
    )


@contextmanager
def table(capacity: int, crowded: int = 0) -> Iterator[Table]:
    """`crowded`: all keys have one of so few home slots."""
    loaded = libbpf.Object(OBJECT.read_bytes(), sizes(capacity), [filling.PROGRAM])
    made = Table(loaded, capacity)
    if crowded:
        made.slots.homes = crowded
        made._set("homes", crowded)
    try:
        yield made
    finally:
        made.close()
        loaded.close()


def processors(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let there be so many."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)))


def uses(made: Table) -> bytes:
    """Return the state of each slot."""
    return made._memory[14 : room(made.slots.homes) * SIZE : SIZE]


def seen(now: float) -> int:
    """What halves that are filled in at this moment report."""
    model = Model()
    model.fill(row(1), now)
    return int(layout.REPORT.unpack_from(model.halves[0], layout.REPORT_AT)[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("crowded", "numbers"), [(0, 3000), (3, 200), (60, 90), (1, 20)])
def test_the_program_enters_what_python_would_enter_byte_by_byte(
    seed: int, crowded: int, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few home slots there is no room for some. With one processor there is one order."""
    processors(monkeypatch, 1)
    chance, capacity = Random(seed), 5000
    with table(capacity, crowded) as made:
        memory = bytearray(len(made._memory))
        slots = Slots(memory, made.slots.homes, made.slots.seed, made.slots.factor)
        for number in chance.sample(range(numbers), 15):
            half = Rewrite(
                Side.INSIDE, TCP, struct.pack("!4s4sHH", CLIENT, SERVER, number, 80), CLIENT * 3
            )
            made.insert(half, True, NOW)
        memory[:] = made._memory[:]
        for slot in chance.sample(
            [n for n in range(room(made.slots.homes)) if memory[n * SIZE + 14]], 5
        ):
            made.slots.remove(slot)
            slots.remove(slot)
        rows = [any_row(chance, numbers) for _ in range(2500)]
        used, count, refused = made._used, 0, 0
        made.fill(b"".join(rows), NOW)
        for key, half_bytes, use in (
            each for row in rows for each in halves_of(FLOW.unpack(row), seen(NOW))
        ):
            if slots.find(key) is None:
                entered = slots.insert(key, half_bytes, use) is not None
                count, refused = count + entered, refused + (not entered)
        assert made._memory[:] == memory
        assert made._used == used + count
        assert made._left == count
        assert (refused > 0) == bool(crowded)


@pytest.mark.parametrize("lanes", [2, layout.LANES])
@pytest.mark.parametrize(("crowded", "count"), [(0, layout.ROWS), (60, layout.ROWS), (2000, 600)])
def test_lanes_that_run_side_by_side_enter_each_half_once(
    lanes: int, crowded: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All keys want one of few slots, or there is room for all: what was entered is found, and nothing else is there."""
    processors(monkeypatch, lanes)
    for turn in range(20):
        with table(2 * layout.ROWS, crowded) as made:
            rows = [row(number) for number in range(count)]
            made.fill(b"".join(rows), NOW)
            wanted = {
                key: (half, use)
                for row in rows
                for key, half, use in halves_of(FLOW.unpack(row), seen(NOW))
            }
            found = {key: slot for key in wanted if (slot := made.slots.find(key)) is not None}
            memory = made._memory[:]
            for key, slot in found.items():
                at = slot * SIZE
                assert (memory[at + layout.Key.size : at + SIZE], memory[at + 14]) == wanted[key]
            used = uses(made)
            assert used.count(Use.OFFLOADED) == len(set(found.values())) == len(found), turn
            assert used.count(Use.EMPTY) == len(used) - len(found)
            assert made._used == made._left == len(found)
            assert crowded == 60 or len(found) == 2 * count


@pytest.mark.parametrize("threads", range(layout.LANES))
def test_without_more_threads_lanes_run_one_after_the_other(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    processors(monkeypatch, layout.LANES)
    start, started = threading.Thread.start, list[threading.Thread]()

    def start_some(thread: threading.Thread) -> None:
        if len(started) == threads:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    with table(4 * layout.ROWS) as made:
        for at in (0, layout.ROWS):
            rows = [row(number) for number in range(at, at + layout.ROWS)]
            made.fill(b"".join(rows), NOW)
        assert made._used == 4 * layout.ROWS
        assert uses(made).count(Use.OFFLOADED) == 4 * layout.ROWS


@pytest.mark.parametrize("lane", range(layout.LANES))
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOMEM])
def test_a_lane_that_fails_in_the_middle_leaves_no_slot_behind(
    lane: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the others have filled until then is known, and nothing is filled afterwards."""
    processors(monkeypatch, layout.LANES)
    run = libbpf.run_once

    def fail(program: int, data: bytes, repeat: int) -> object:
        if data[0] != lane:
            return run(program, data, repeat=repeat)
        run(program, data, repeat=repeat // 2)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(libbpf, "run_once", fail)
    with table(4 * layout.ROWS) as made:
        made.fill(b"".join(row(number) for number in range(2 * layout.ROWS)), NOW)
        assert not made.can_fill
        assert layout.ROWS // 4 <= made._used < 2 * layout.ROWS
        assert uses(made).count(Use.OFFLOADED) == made._used == made._left
        assert uses(made).count(Use.QUARANTINED) == 0
        while made.discard():
            pass
        assert uses(made).count(Use.OFFLOADED) == made._used == 0


def test_no_more_is_filled_than_there_is_room_for() -> None:
    with table(10) as made:
        made.fill(b"".join(map(row, range(20))), NOW)
        assert made._used == 10
        assert made.insert(Rewrite(Side.INSIDE, TCP, bytes(12), bytes(12)), True, NOW) is None


def test_a_table_that_is_nearly_full_passes_over_many_rows_that_are_not_for_it() -> None:
    echo, count = row(0, protocol=ICMP), layout.ROWS
    with table(6) as made:
        made.fill(row(1) + row(2) + echo * count + row(1) * count + row(3) + row(4), NOW)
        assert made._used == made._left == 6
        assert made.slots.find(layout.key(outwards(3).match, TCP, Side.INSIDE)) is not None


def test_nothing_is_kept_of_what_was_filled_when_all_of_it_is_adopted() -> None:
    with table(100) as made:
        made.fill(row(1), NOW)
        for half in outwards(), inwards():
            assert made.adopt(half, True, None, NOW) is not None
        assert not made.discard()
        assert not made._filled


def test_slots_of_an_earlier_process_and_slots_that_were_filled_are_all_discarded() -> None:
    loaded = libbpf.Object(OBJECT.read_bytes(), sizes(8 * DISCARDED), [filling.PROGRAM])
    earlier = Table(loaded, 8 * DISCARDED)
    for number in range(DISCARDED // 2 + 1):
        assert earlier.insert(outwards(number), True, NOW) is not None
    earlier.close()
    heir = Table(loaded, 8 * DISCARDED, inherited=True)
    heir.fill(b"".join(row(number) for number in range(DISCARDED, 2 * DISCARDED)), NOW)
    steps = 0
    while heir.discard():
        steps += 1
        assert steps < 10
    assert heir._used == 0
    assert bytes(heir._memory[14::SIZE]).count(Use.OFFLOADED) == 0
    heir.close()
    loaded.close()


def test_what_was_filled_is_adopted_once_and_the_rest_is_discarded() -> None:
    count = 3 * DISCARDED
    with table(2 * count) as made:
        made.fill(b"".join(map(row, range(count))), NOW)
        assert made.inherits
        for number in range(0, count, 2):
            for key, half, _ in halves_of(FLOW.unpack(row(number)), 0):
                match, protocol, side, _, _ = layout.Key.unpack(key)
                wanted = Rewrite(Side(side), protocol, match, half[:12], 0, 16)
                found = made.adopt(wanted, True, None, NOW)
                assert found is not None
                assert found.is_filled
                assert made.adopt(wanted, True, None, NOW) is None, "it is not inherited any more"
        steps = 0
        while made.discard():
            steps += 1
        assert steps <= 2 * count / DISCARDED
        assert made._used == count
        uses = bytes(made._memory[14::SIZE])[: room(homes(2 * count))]
        assert uses.count(Use.OFFLOADED) == count
        assert uses.count(Use.QUARANTINED) == count


def test_a_slot_with_another_rewrite_is_emptied() -> None:
    with table(10) as made:
        made.fill(row(1), NOW)
        match = struct.pack("!4s4sHH", CLIENT, SERVER, 1, 80)
        assert made.adopt(Rewrite(Side.INSIDE, TCP, match, bytes(12)), True, None, NOW) is None
        assert made.slots.find(layout.key(match, TCP, Side.INSIDE)) is None
        assert made._left == made._used == 1


def test_a_successor_beside_it_is_told_of_what_was_filled() -> None:
    with table(100) as made:
        made.note_changes()
        made.fill(row(1) + row(1) + row(2), NOW)
        changed = made.changes
        assert changed is not None
        assert {made.slots.used(slot) for slot in changed} == {Use.OFFLOADED}
        assert len(changed) == 4


def test_who_finds_the_table_after_a_crash_knows_what_was_filled() -> None:
    loaded = libbpf.Object(OBJECT.read_bytes(), sizes(10), [filling.PROGRAM])
    made = Table(loaded, 10)
    made.fill(row(1, marks=(1 << 38, 0), bits=IS_OFFLOADABLE), NOW)
    made.close()
    heir = Table(loaded, 10, inherited=True)
    half = Rewrite(Side.INSIDE, TCP, struct.pack("!4s4sHH", CLIENT, SERVER, 1, 80), bytes(12))
    out = half._replace(rewrite=struct.pack("!4s4sHH", PUBLIC, SERVER, 20_001, 80))
    found = heir.adopt(out, True, None, NOW)
    assert found is not None
    assert found.is_filled
    assert heir.discard() is False
    assert heir._used == 1
    heir.close()
    loaded.close()


class WithoutProgram(libbpf.Object):
    def program(self, name: str) -> int:
        raise OSError(f"the kernel does not take {name}")


def test_without_the_program_nothing_is_filled() -> None:
    loaded = WithoutProgram(OBJECT.read_bytes(), sizes(10))
    made = Table(loaded, 10)
    assert not made.can_fill
    made.fill(row(1), NOW)
    assert not made.inherits
    made.close()
    loaded.close()


def test_signals_do_not_keep_rows_out() -> None:
    """A signal ends a run of the program."""
    came, over = [], threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: came.append(1))

    def disturb() -> None:
        while not over.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(1e-5)

    thread = threading.Thread(target=disturb)
    with table(80_000) as made:
        thread.start()
        try:
            while not came:
                time.sleep(1e-5)
            made.fill(b"".join(map(row, range(40_000))), NOW)
        finally:
            over.set()
            thread.join()
            signal.signal(signal.SIGUSR1, before)
        assert made._used == 80_000


@pytest.fixture(params=["model", *(hook.name for hook in Hook)])
def path(request: pytest.FixtureRequest) -> Iterator[Model | Kernel]:
    if request.param == "model":
        yield Model()
        return
    with network() as devices:
        kernel = Kernel(devices, Hook[request.param])
        yield kernel
        kernel.close()


def outwards(number: int = 1) -> Rewrite:
    match = struct.pack("!4s4sHH", CLIENT, SERVER, number, 80)
    rewrite = struct.pack("!4s4sHH", PUBLIC, SERVER, 20_000 + number, 80)
    return Rewrite(Side.INSIDE, TCP, match, rewrite, 0, 16)


def inwards(number: int = 1) -> Rewrite:
    match = struct.pack("!4s4sHH", SERVER, PUBLIC, 80, 20_000 + number)
    rewrite = struct.pack("!4s4sHH", SERVER, CLIENT, 80, number)
    return Rewrite(Side.OUTSIDE, TCP, match, rewrite, 0, 16)


def test_packets_of_what_was_filled_are_forwarded_and_move_it_wherever_they_are(
    path: Model | Kernel,
) -> None:
    path.heartbeat(0)
    marks = 5 << layout.TRAFFIC_SHIFT | 700, 0
    path.fill(row(1, positions=(7 << 32 | 9, 0), marks=marks, bits=IS_OFFLOADABLE | HAS_MARKS), 0)
    for sequence in (1 << 20, 1 << 31, (1 << 32) - 5, 1 << 30):
        packet = packets.tcp(CLIENT, 1, SERVER, 80, ACK, sequence, sequence ^ 1 << 31)
        out = path.forward(packet, Side.INSIDE, 1)
        assert out is not None
        assert out[12:24] == outwards().rewrite
        back = packets.tcp(SERVER, 80, PUBLIC, 20_001, ACK, sequence, 5)
        assert path.forward(back, Side.OUTSIDE, 1) is not None
    if isinstance(path, Kernel):
        slot = path.table.slots.find(layout.key(outwards().match, TCP, Side.INSIDE))
        path._seen[slot or 0] = layout.seen_at(1)
    found = path.adopt(outwards(), True, marks[0], 1)
    assert found is not None
    assert found.traffic is not None
    assert (found.traffic.packets, found.traffic.bytes) == (4, 160)
    assert found.traffic.position == 1 << 62 | (1 << 30 ^ 1 << 31)


def test_a_flow_that_is_not_offloadable_is_left_to_the_engine(path: Model | Kernel) -> None:
    path.heartbeat(0)
    path.fill(row(1, bits=0), 0)
    assert path.forward(packets.tcp(CLIENT, 1, SERVER, 80, ACK, 1, 1), Side.INSIDE, 1) is None
    found = path.adopt(outwards(), False, None, 1)
    assert found is not None
    assert found.traffic is None
