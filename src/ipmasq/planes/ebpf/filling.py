"""Fills the table with flows that another gateway has served, from their rows, by a program (bpf/fill.h)."""

from __future__ import annotations

import errno
import logging
import mmap
from contextlib import suppress

from ipmasq.core.compact import FLOW
from ipmasq.planes.ebpf import layout, libbpf

log = logging.getLogger("ipmasq")

PROGRAM = "fill"

FRAME = bytes(64)
"""What the kernel wants a program to be run on."""


class Filler:
    def __init__(self, loaded: libbpf.Object) -> None:
        self._loaded = loaded
        self._program: int | None = None
        self._is_tried = False
        self._rows = _shared(loaded, "rows", layout.ROWS * FLOW.size)
        self._filled = _shared(loaded, "filled", layout.ROWS * layout.Filled.size)
        self._filling = _shared(loaded, "filling", layout.Filling.size)

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
        count = len(rows) // FLOW.size
        self._rows[: len(rows)] = rows
        self._set_header(0, seen, 0)
        self._run(count)
        done, _, slots, _ = layout.Filling.unpack_from(self._filling)
        with memoryview(self._filled) as filled:
            numbers = filled[: done * layout.Filled.size].tobytes()
        return slots, memoryview(numbers).cast("I")

    def _run(self, count: int) -> None:
        """Run the program until it has seen all rows; a signal ends a run. If it fails, it is not used any more."""
        done = 0
        while done < count and self._program is not None:
            try:
                libbpf.run_once(self._program, FRAME, repeat=count - done)
            except OSError as error:
                if error.errno != errno.EINTR:
                    log.warning("flows are entered into the fast path one by one: %s", error)
                    self._program = None
            done = layout.Filling.unpack_from(self._filling)[0]

    def _set_header(self, *numbers: int) -> None:
        layout.Filling.pack_into(self._filling, 0, *numbers, 0)

    def close(self) -> None:
        for each in (self._rows, self._filled, self._filling):
            each.close()


def _shared(loaded: libbpf.Object, name: str, size: int) -> mmap.mmap:
    return mmap.mmap(loaded.map(name), -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
