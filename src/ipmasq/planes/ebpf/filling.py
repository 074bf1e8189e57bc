"""Fills the table with flows that another gateway has served, from their rows, by a program (bpf/fill.h)."""

from __future__ import annotations

import errno
import logging
import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from itertools import pairwise

from ipmasq.core.compact import FLOW
from ipmasq.planes.ebpf import layout, libbpf

log = logging.getLogger("ipmasq")

PROGRAM = "fill"

FRAMES = [bytes((lane,)) + bytes(63) for lane in range(layout.LANES)]
"""What the program is run on for each lane."""

LEAST = 200
"""Rows for which a lane is worth waking a thread."""


class Filler:
    def __init__(self, loaded: libbpf.Object) -> None:
        self._loaded = loaded
        self._program: int | None = None
        self._is_tried = False
        self._lanes = layout.LANES
        self._rows = _shared(loaded, "rows", layout.ROWS * FLOW.size)
        self._filled = _shared(loaded, "filled", layout.ROWS * layout.Filled.size)
        self._filling = _shared(loaded, "filling", layout.LANES * layout.Filling.size)

    @property
    def is_possible(self) -> bool:
        """Whether the kernel takes the program, which is loaded when this is asked for the first time: that takes 0.1 s, which
        only a member of a group needs to spend. Without it, flows are entered one by one."""
        if not self._is_tried:
            self._is_tried = True
            with suppress(OSError):
                self._program = self._loaded.program(PROGRAM)
        return self._program is not None

    def fill(self, rows: memoryview, seen: int) -> tuple[int, memoryview]:
        """Fill in at most `layout.ROWS` rows. Return the number of slots that were filled, and the numbers of those of each
        row, `layout.NOWHERE` for those that were not."""
        self._rows[: len(rows)] = rows
        lanes = list(enumerate(_divided(len(rows) // FLOW.size, self._lanes)))
        for lane, part in lanes:
            self._write_lane(lane, part, seen)
        self._run_all(len(lanes))
        slots, numbers = 0, bytearray()
        for lane, part in lanes:
            done, _, _, filled, _ = self._read_lane(lane)
            slots += filled
            size = layout.Filled.size
            numbers += self._filled[part.start * size : done * size]
        return slots, memoryview(numbers).cast("I")

    def _run_all(self, count: int) -> None:
        """Run the program for so many lanes. None runs any more when this returns, since others write into the table then."""
        others = []
        try:
            for lane in range(1, count):
                others.append(self._pool.submit(self._run, lane))
        except RuntimeError:  # this process may have no more threads
            self._pool.shutdown(cancel_futures=True)
            self._lanes, others = 1, []
            for lane in range(1, count):
                self._run(lane)
        self._run(0)
        for each in others:
            each.result()

    def _run(self, lane: int) -> None:
        """Run the program for the rows of a lane; a signal ends a run. If it fails, it is not used any more."""
        while (program := self._program) is not None:  # another lane may set it to None
            done, end, *_ = self._read_lane(lane)
            if done >= end:
                return
            runs = -(-(end - done) // layout.AT_ONCE)
            try:
                libbpf.run_once(program, FRAMES[lane], repeat=runs)
            except OSError as error:
                if error.errno != errno.EINTR and self._program is not None:
                    self._program = None
                    log.warning("flows are entered into the fast path one by one: %s", error)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(layout.LANES - 1, "fill")

    def _write_lane(self, lane: int, part: range, seen: int) -> None:
        at = lane * layout.Filling.size
        layout.Filling.pack_into(self._filling, at, part.start, part.stop, seen, 0, b"")

    def _read_lane(self, lane: int) -> tuple[int, int, int, int, bytes]:
        """Return the fields of `layout.FILLING`."""
        at = lane * layout.Filling.size
        found: tuple[int, int, int, int, bytes] = layout.Filling.unpack_from(self._filling, at)
        return found

    def close(self) -> None:
        if "_pool" in vars(self):
            self._pool.shutdown()
        for each in (self._rows, self._filled, self._filling):
            each.close()


def _divided(count: int, most: int) -> list[range]:
    """Return the rows of each lane: no more lanes than processors, since with one more, all would wait for its turn."""
    lanes = max(1, min(most, len(os.sched_getaffinity(0)), count // LEAST))
    ends = [count * lane // lanes for lane in range(lanes + 1)]
    return [range(*each) for each in pairwise(ends)]


def _shared(loaded: libbpf.Object, name: str, size: int) -> mmap.mmap:
    return mmap.mmap(loaded.map(name), -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
