"""What an engine remembers is in the store in time, and a store that fails stops nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ipmasq.continuity import writer
from ipmasq.continuity.kept import Found, Location
from ipmasq.continuity.reading import Reading
from ipmasq.continuity.store import Store, StoreError
from ipmasq.continuity.writer import DELAY, RETRY, StateWriter
from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.offloading import Traffic
from tests.conformance.packets import SYN
from tests.conformance.world import IN1, OUT1, World


class Kept(World):
    """A world whose engine is kept."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.location = Location(path / "state.db", {}, durable=False)
        self.said: list[str] = []
        self.broken = False
        self.writer = StateWriter(
            self.engine,
            self.begin,
            lambda: 0.0,
            self.said.append,
            lambda: self.said.append("recovered"),
        )
        self.writer.use(self.begin(), self.now)

    def begin(self) -> Store:
        if self.broken:
            raise StoreError("no disk")
        return self.location.begin()

    def turn(self, seconds: float = 0.0) -> float | None:
        self.now += seconds
        return self.writer.between(self.now)

    def flows(self) -> int:
        """How many flows a successor would find now."""
        store = self.writer.store
        assert store is not None
        self.writer.store = None
        store.close()
        found = self.location.find(self.now, 0.0)
        self.writer.store = found.store
        assert not found.refused
        assert found.plain is not None
        return len(found.plain.flows) + sum(each.kind == Kind.FLOW for each in found.kept)

    def go_on_as(self, found: Found) -> None:
        """Let a successor go on with what it has found."""
        policy = self.engine.policy
        self.engine = self.writer._engine = Engine.from_records(
            policy, lambda n: 0, found.kept, self.now, True, found.plain
        )
        assert found.store is not None
        self.writer.use(found.store, self.now, goes_on=True)

    def restart(self, ahead: Reading | None = None, is_read_on: bool = True) -> Engine:
        self.writer.close(self.now, is_read_on)
        found = self.location.find(self.now, 0.0, ahead)
        assert found.store is not None
        found.store.close()
        return Engine.from_records(
            self.engine.policy, lambda n: 0, found.kept, self.now, True, found.plain
        )


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_a_plain_flow_is_written_a_short_time_later(kept: Kept) -> None:
    kept.tcp(IN1, 4000, OUT1, 80, SYN, seq=1)
    due = kept.turn()
    assert due is not None
    assert due <= kept.now + DELAY
    kept.turn(DELAY)
    assert kept.flows() == 1


def test_what_packets_depend_on_is_written_at_once(kept: Kept) -> None:
    kept.tcp(IN1, 4000, OUT1, 80, SYN, seq=1)
    told: list[int] = []
    kept.writer.write(kept.now, lambda: told.append(1))
    assert told == [1]
    assert kept.flows() == 1


def test_at_the_end_everything_is_written_and_a_successor_has_it(kept: Kept) -> None:
    for port in range(4000, 4100):
        kept.udp(IN1, port, OUT1, 53)
    engine = kept.restart()
    assert len(list(engine.flows())) == 100
    assert engine.counts == kept.engine.counts


@pytest.mark.parametrize("turns", [0, 1, 3, 20])
def test_a_new_store_that_is_closed_at_once_has_everything(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    monkeypatch.setattr(writer, "SLICE", 10)
    for port in range(4000, 4100):
        kept.udp(IN1, port, OUT1, 53)
    kept.writer.close(kept.now)
    kept.writer.go_on(kept.now)
    for turn in range(turns):
        kept.turn(0.3)
        kept.udp(IN1, 5000 + turn, OUT1, 53)
    engine = kept.restart()
    assert len(list(engine.flows())) == 100 + turns
    assert len(list(engine.mappings())) == 100 + turns


@pytest.mark.parametrize("turns", [0, 8])
def test_rows_with_the_marks_of_another_fast_path_are_written_again(kept: Kept, turns: int) -> None:
    """Soon, and otherwise at the end."""
    kept.engine.set_mark_source(lambda flow: (1, 2))
    for port in range(4000, 4010):
        kept.udp(IN1, port, OUT1, 53)
    for _ in range(8):
        kept.turn(0.3)
    marks = 7, 9
    kept.engine.set_mark_source(lambda flow: marks)
    for _ in range(turns):
        kept.turn(0.3)
    before = kept.writer.written
    engine = kept.restart()
    assert (kept.writer.written - before < 10) is bool(turns)
    engine.restore_all()
    assert {engine.take_marks(each.id) for each in engine.flows()} == {marks}


def test_at_the_end_only_flows_that_were_in_use_lately_are_written_again(kept: Kept) -> None:
    for port in range(4000, 4100):
        kept.udp(IN1, port, OUT1, 53)
    for _ in range(8):
        kept.turn(0.3)
    kept.udp(IN1, 4050, OUT1, 53)
    before, sent = kept.writer.written, kept.engine.counts
    engine = kept.restart()
    assert 0 < kept.writer.written - before < 10
    assert engine.counts == sent
    packets = {each.inside.port: each.packets_out for each in engine.flows()}
    assert packets == {**dict.fromkeys(range(4000, 4100), 1), 4050: 2}


def test_a_store_that_has_grown_gets_a_snapshot_and_is_small_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    smallest, a_slice = 300_000, 100  # The usual limits would take minutes.
    monkeypatch.setattr(writer, "SMALLEST", smallest)
    monkeypatch.setattr(writer, "SLICE", a_slice)
    for port in range(2 * a_slice):
        kept.udp(IN1, 2000 + port, OUT1, 53)
    for _ in range(20):
        kept.turn(0.3)
    largest = 0
    for _ in range(20):
        kept.engine.mark_all_but_flows()
        last = 0
        while last := kept.engine.mark_flows(last, a_slice):
            pass
        kept.writer.write(kept.now)
        kept.turn(0.3)
        assert kept.writer.store is not None
        largest = max(largest, kept.writer.store.size)
    assert largest > smallest
    for _ in range(100):
        kept.turn(0.3)
    assert kept.writer.store.size < smallest
    assert kept.flows() == len(kept.engine.table.flows)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Kept]:
    """On a file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a file system")
    location = tmp_path / "small"
    location.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", str(location)]
    subprocess.run(mount, check=True, timeout=10)
    made = Kept(location)
    try:
        yield made
    finally:
        if made.writer.store is not None:
            made.writer.store.close()
        subprocess.run(["umount", str(location)], check=True, timeout=10)


def test_a_full_disk_is_told_once_and_when_there_is_room_everything_is_kept_again(
    small: Kept,
) -> None:
    ballast = small.location.path.with_name("ballast")
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    for port in range(1000):
        small.udp(IN1, 2000 + port, OUT1, 53)
        small.turn(DELAY)
    assert len(small.said) == 1
    assert "full" in small.said[0]
    assert not small.writer.status.is_kept
    assert not small.engine.has_changes, "nothing is noted for nobody"
    small.udp(IN1, 9000, OUT1, 53)
    ballast.unlink()
    for _ in range(20):
        small.turn(RETRY)
    assert small.said[1:] == ["recovered"]
    assert small.writer.status.is_kept
    assert small.flows() == 1001


def test_a_store_that_stays_away_is_tried_at_longer_and_longer_intervals(kept: Kept) -> None:
    kept.broken = True
    kept.writer.failed(StoreError("the disk is gone"), kept.now)
    moments = []
    for _ in range(6):
        due = kept.turn()
        assert due is not None
        moments.append(due - kept.now)
        kept.turn(due - kept.now)
    assert moments == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert kept.said == ["the disk is gone"]
    assert kept.writer.status.trouble == "no disk"


def test_while_flows_are_restored_the_store_keeps_what_it_has_and_then_gets_a_snapshot(
    kept: Kept,
) -> None:
    for port in range(100):
        kept.udp(IN1, 4000 + port, OUT1, 53)
    kept.writer.close(kept.now)
    found = kept.location.find(kept.now, 0.0)
    assert found.store is not None
    kept.go_on_as(found)
    kept.udp(IN1, 5000, OUT1, 53)
    kept.turn()
    kept.turn(DELAY)
    assert kept.engine.table.count == 101
    assert len(kept.engine.table.flows) == 1
    assert kept.flows() == 101, "a process that is killed now has lost nothing"
    while not kept.engine.is_restored:
        kept.engine.restore_some(10)
    written = kept.writer.written
    for _ in range(10):
        kept.turn(0.3)
    assert kept.writer.written - written >= 100
    assert kept.flows() == 101


def test_a_new_store_while_flows_are_restored_gets_all_of_them(kept: Kept) -> None:
    for port in range(100):
        kept.udp(IN1, 4000 + port, OUT1, 53)
    kept.writer.close(kept.now)
    found = kept.location.find(kept.now, 0.0)
    assert found.store is not None
    kept.go_on_as(found)
    kept.writer.failed(StoreError("no disk"), kept.now)
    for _ in range(10):
        kept.turn(RETRY)
    assert kept.said == ["no disk", "recovered"]
    assert kept.flows() == 100


def test_a_store_stays_small_whatever_is_written_to_it(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often there was a snapshot, and if more rows come than are removed at once."""
    smallest = 50_000
    monkeypatch.setattr(writer, "SMALLEST", smallest)
    kept.udp(IN1, 4000, OUT1, 53)
    largest = 0
    for turn in range(4000):
        kept.engine.mark_small()
        kept.writer.write(kept.now)
        kept.turn(1e-3)
        assert kept.writer.store is not None
        largest = max(largest, kept.writer.store.size)
        if turn == 1000:
            first = largest
    assert first > smallest
    assert largest <= 2 * first


def test_a_successor_that_is_expected_has_little_to_read(kept: Kept) -> None:
    for port in range(50):
        kept.udp(IN1, 2000 + port, OUT1, 53)
        kept.writer.write(kept.now)
    before = kept.writer.status.size
    kept.writer.compact(kept.now)
    turns = 0
    while not kept.writer.is_compact(kept.now):
        kept.turn(0.01)
        turns += 1
        assert turns < 100
    assert kept.writer.status.size < before
    assert kept.flows() == 50


def test_a_snapshot_that_waits_for_flows_to_be_restored_is_waited_for(kept: Kept) -> None:
    for port in range(50):
        kept.udp(IN1, 2000 + port, OUT1, 53)
    kept.writer.close(kept.now)
    found = kept.location.find(kept.now, 0.0)
    kept.go_on_as(found)
    kept.writer.compact(kept.now)
    assert not kept.writer.is_compact(kept.now)
    kept.engine.restore_all()
    for _ in range(3):
        kept.turn(0.3)
    assert kept.writer.is_compact(kept.now)


def test_what_ended_after_it_was_read_ahead_has_ended_whatever_was_trimmed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SMALLEST", 3000)
    for port in range(4000, 4020):
        kept.udp(IN1, port, OUT1, 53)
    kept.turn(DELAY)
    ahead = kept.location.read_ahead(kept.now, 0.0)
    kept.now += 400
    kept.engine.tick(kept.now)
    kept.udp(IN1, 5000, OUT1, 53)
    for _ in range(8):
        kept.turn(0.3)
    engine = kept.restart(ahead)
    assert [each.inside.port for each in engine.flows()] == [5000]
    assert len(list(engine.mappings())) == 1


def test_in_the_middle_of_a_snapshot_rows_have_no_marks_of_an_earlier_fast_path(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SLICE", 10)
    kept.engine.set_mark_source(lambda flow: (1, 2))
    for port in range(4000, 4100):
        kept.udp(IN1, port, OUT1, 53)
    for _ in range(40):
        kept.turn(0.3)
    marks = 7, 9
    kept.engine.set_mark_source(lambda flow: marks)
    for _ in range(3):
        kept.turn(0.3)
    engine = kept.restart()
    engine.restore_all()
    assert {engine.take_marks(each.id) for each in engine.flows()} == {marks}


@pytest.mark.parametrize("is_read_on", [False, True])
def test_rows_have_what_a_fast_path_that_ends_has_told_late(kept: Kept, is_read_on: bool) -> None:
    """If it does not end, a successor reads the rest, and that a row lags costs nothing."""
    kept.udp(IN1, 4000, OUT1, 53)
    (flow,) = kept.engine.flows()
    seen = kept.now
    for _ in range(8):
        kept.turn(0.3)
    kept.engine.report(flow.id, (Traffic(seen, 5, 500, 0), None))
    engine = kept.restart(None, is_read_on)
    assert [each.packets_out for each in engine.flows()] == [1 if is_read_on else 6]
