"""Slots of another layout or size are copied. The stored tables are of releases whose successors must read them."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from ipmasq.core.offloading import Rewrite
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.layout import Use
from ipmasq.planes.ebpf.migration import LAYOUTS, Migration, source
from ipmasq.planes.ebpf.slots import Slots, room

STORED = sorted((Path(__file__).parent / "data").glob("slots-*.json"))
MATCH, REWRITE = bytes(range(12)), bytes(range(20, 32))


class Table:
    """What a migration needs of the programs' table, in memory."""

    def __init__(self, homes: int = 100) -> None:
        self.memory = bytearray(room(homes) * (layout.Key.size + layout.Half.size))
        self.slots = Slots(self.memory, homes, 1, 3)
        self.carried: dict[int, tuple[int, int]] = {}

    def enter_inherited(self, key: bytes, half: bytes, use: Use) -> int | None:
        return self.slots.insert(key, half, use)

    def carry(self, slot: int, counted: tuple[int, int]) -> None:
        self.carried[slot] = counted

    def half(self, rewrite: Rewrite) -> dict[str, Any]:
        slot = self.slots.find(layout.key(rewrite.match, rewrite.protocol, rewrite.side))
        assert slot is not None
        at = slot * (layout.Key.size + layout.Half.size) + layout.Key.size
        values = layout.Half.unpack_from(self.memory, at)
        return dict(zip((name for name, _ in layout.HALF), values, strict=True))


def rewrite(side: Side = Side.INSIDE) -> Rewrite:
    return Rewrite(side, 6, MATCH, REWRITE)


def filled(table: Table) -> int:
    """Enter a half that has forwarded 3 packets, 400 bytes in all."""
    traffic = 3 << layout.TRAFFIC_SHIFT | 400
    half = layout.Half.pack(REWRITE, b"\2" * 6, 5, 17, 1500, 7, 9, 1234, traffic, 50, 60)
    slot = table.slots.insert(layout.key(MATCH, 6, Side.INSIDE), half, Use.OFFLOADED)
    assert slot is not None
    return slot


def test_the_present_layout_can_be_copied() -> None:
    assert layout.digest() in LAYOUTS


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_table_of_a_release_is_copied_with_counters_and_positions(path: Path) -> None:
    stored = json.loads(path.read_text())
    old = zlib.decompress(base64.b64decode(stored["slots"]))
    table = Table()
    assert Migration(old, LAYOUTS[stored["layout"]], table).copy() == 1  # type: ignore[arg-type]
    half = table.half(rewrite())
    assert half["rewrite"] == REWRITE
    assert half["reach"] == 17
    assert (half["seen"], half["end"], half["acknowledged"]) == (1234, 50, 60)
    assert layout.counted(half["traffic"], 0) == (3, 400)
    assert half["epoch"] == 0, "the next hop is to be looked up"


def test_a_table_of_the_present_layout_is_stored() -> None:
    """If this fails, keep the stored tables, and store one of the new layout (`filled`) beside them."""
    assert any(json.loads(each.read_text())["layout"] == layout.digest() for each in STORED)


def test_what_the_old_programs_count_after_the_copy_is_carried_over() -> None:
    old, new = Table(homes=50), Table()
    slot = filled(old)
    migration = Migration(old.memory, LAYOUTS[layout.digest()], new)  # type: ignore[arg-type]
    migration.copy()
    at = slot * (layout.Key.size + layout.Half.size) + layout.Key.size + layout.REPORT_AT
    layout.REPORT.pack_into(old.memory, at, 1300, 5 << layout.TRAFFIC_SHIFT | 900, 70, 80)
    migration.finish()
    assert [*new.carried.values()] == [(2, 500)]


def test_an_unknown_layout_is_left_alone() -> None:
    known = Path(f"/sys/fs/bpf/x/maps-{layout.digest()}-20")
    assert source([Path("/sys/fs/bpf/x/maps-0123456789ab-20")]) is None
    assert source([Path("/sys/fs/bpf/x/draft"), known]) == (known, LAYOUTS[layout.digest()])
