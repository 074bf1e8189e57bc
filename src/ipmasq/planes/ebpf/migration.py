"""Copies what an earlier process has entered into a table of another layout or size.

Its programs go on with the old table meanwhile. What they count after the copy is read once more when all links have
been given the new programs (`finish`). Next hops are not copied: the new programs look them up.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.layout import Fields, Use
from ipmasq.planes.ebpf.table import Table


class Layout(NamedTuple):
    """What a slot consists of."""

    key: Fields
    half: Fields


LAYOUTS = {layout.digest(): Layout(layout.KEY, layout.HALF)}
"""Layouts from which slots can be copied, by `layout.digest()`: the present one, and each of earlier releases."""

MAPS = re.compile(r"maps-([0-9a-f]+)-([0-9]+)")
"""The name of a directory of maps: see `pins`."""

COPIED = ("reach", "seen", "traffic", "end", "acknowledged")


def source(directories: list[Path]) -> tuple[Path, Layout] | None:
    """Return the first directory of maps from which slots can be copied, and their layout."""
    for directory in directories:
        named = MAPS.fullmatch(directory.name)
        if named is not None and named[1] in LAYOUTS:
            return directory, LAYOUTS[named[1]]
    return None


class Migration:
    def __init__(self, memory: mmap.mmap | bytes, old: Layout, table: Table) -> None:
        """`memory` has the old slots, and `table` is new."""
        self._memory, self._table = memory, table
        self._fields = (*old.key, *((f"half.{name}", form) for name, form in old.half))
        self._slot = layout.packed(self._fields)
        self._copied: dict[int, tuple[int, int]] = {}
        """By old slot: the new one, and the counter at that time."""

    @classmethod
    def open(cls, directory: Path, old: Layout, table: Table) -> Migration | None:
        """Return the migration of pinned maps; None if they cannot be opened."""
        descriptor = libbpf.pinned(directory / "slots")
        if descriptor is None:
            return None
        named = MAPS.fullmatch(directory.name)
        slots = 2 * int(named[2]) + layout.WINDOW if named is not None else 0
        size = slots * struct.calcsize("=" + "".join(form for _, form in (*old.key, *old.half)))
        try:
            memory = mmap.mmap(descriptor, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        finally:
            os.close(descriptor)
        return cls(memory, old, table)

    def copy(self) -> int:
        """Copy all slots for which there is room. Return their number."""
        use_at = layout.offsets(self._fields)["use"]
        with memoryview(self._memory) as memory, memory[use_at :: self._slot.size] as each:
            uses = each.tobytes()
        for number, use in enumerate(uses):
            if use >= Use.TRACKED:
                self._copy(number)
        return len(self._copied)

    def _copy(self, number: int) -> None:
        fields = self._read(number)
        key = layout.key(fields["slice"], fields["protocol"], fields["side"])
        half = layout.Half.pack(
            *(
                fields[f"half.{name}"] if name in ("rewrite", *COPIED) else _nothing(form)
                for name, form in layout.HALF
            )
        )
        slot = self._table.enter_inherited(key, half, Use(fields["use"]))
        if slot is not None:
            self._copied[number] = slot, fields["half.traffic"]

    def finish(self) -> None:
        """Add what the old programs have counted since the copy, now that none runs any more."""
        for number, (slot, before) in self._copied.items():
            fields = self._read(number)
            if fields["half.traffic"] != before:
                self._table.carry(slot, layout.counted(fields["half.traffic"], before))
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()

    def _read(self, number: int) -> dict[str, Any]:
        values = self._slot.unpack_from(self._memory, number * self._slot.size)
        return dict(zip((name for name, _ in self._fields), values, strict=True))


def _nothing(form: str) -> int | bytes:
    return b"" if form.endswith("s") else 0
