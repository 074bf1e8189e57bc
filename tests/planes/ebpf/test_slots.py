"""The table in shared memory: what is entered is found, and nothing else is."""

from __future__ import annotations

import struct
from itertools import product

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.layout import Use
from ipmasq.planes.ebpf.slots import Slots, room

SIZE = layout.Key.size + layout.Half.size
HOMES = 8
"""So few that many stand behind their homes."""
NUMBERS = 40


def key(number: int) -> bytes:
    return layout.key(number.to_bytes(12, "big"), 6, 0)


def half(number: int) -> bytes:
    return layout.Half.pack(number.to_bytes(12, "big"), b"", 0, 0, 0, 0, 0, 0, 0, 0, 0)


def table(homes: int = HOMES) -> tuple[Slots, bytearray]:
    memory = bytearray(room(homes) * SIZE)
    return Slots(memory, homes, 0x1999, 0x9E3779B97F4A7C15), memory


def find(slots: Slots, memory: bytearray, wanted: bytes) -> int | None:
    """As `find` in bpf/table.h: a place, if it is in use."""
    home = slots.home(wanted)
    for slot in range(home, home + memory[home * SIZE + 15] + 1):
        found = memory[slot * SIZE : slot * SIZE + 16]
        if found[:14] == wanted[:14] and found[14] >= Use.TRACKED:
            return slot
    return None


class Anything(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.slots, self.memory = table()
        self.filled: dict[int, int] = {}
        self.gone: dict[int, int] = {}
        """What rests, by place; how often it was said to wake since."""
        self.hurried: set[int] = set()
        """What rests until the kernel says that it has rested."""

    @rule(number=st.integers(1, NUMBERS), use=st.sampled_from((Use.TRACKED, Use.OFFLOADED)))
    def insert(self, number: int, use: Use) -> None:
        if number in self.filled:
            return
        slot = self.slots.insert(key(number), half(number), use)
        assert slot is not None
        assert slot not in self.filled.values()
        assert slot not in self.gone
        assert slot not in self.hurried
        self.filled[number] = slot

    @precondition(lambda self: self.filled)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.filled)))
        slot = self.filled.pop(number)
        self.slots.remove(slot)
        self.gone[slot] = 0

    @rule()
    def reclaim(self) -> None:
        self.slots.reclaim()
        self.gone = {slot: often + 1 for slot, often in self.gone.items() if often < 1}

    @precondition(lambda self: not self.slots._hurried)
    @rule()
    def hurry(self) -> None:
        self.slots.hurry()
        self.hurried, self.gone = set(self.gone) | self.hurried, {}

    @rule()
    def rested(self) -> None:
        self.slots.rested()
        self.hurried = set()

    @invariant()
    def what_is_there_is_found_and_nothing_else(self) -> None:
        for number in range(1, NUMBERS + 1):
            slot = find(self.slots, self.memory, key(number))
            assert slot == self.filled.get(number)
            if slot is not None:
                at = slot * SIZE + layout.Key.size
                assert self.memory[at : at + 12] == number.to_bytes(12, "big")

    @invariant()
    def nobody_looks_farther_than_he_must(self) -> None:
        reach = [0] * HOMES
        for number, slot in self.filled.items():
            home = self.slots.home(key(number))
            reach[home] = max(reach[home], slot - home)
        assert [self.memory[home * SIZE + 15] for home in range(HOMES)] == reach


TestAnything = Anything.TestCase


def test_who_finds_no_free_slot_in_his_window_is_refused_until_one_has_rested() -> None:
    slots, memory = table(1)
    assert all(slots.insert(key(n), half(n), Use.TRACKED) == n for n in range(layout.WINDOW + 1))
    assert slots.insert(key(1000), half(1000), Use.TRACKED) is None
    assert find(slots, memory, key(1000)) is None
    slots.remove(7)
    slots.reclaim()
    assert slots.insert(key(1000), half(1000), Use.TRACKED) is None
    slots.reclaim()
    assert slots.insert(key(1000), half(1000), Use.TRACKED) == 7


def test_one_key_that_comes_and_goes_makes_a_crowd_which_is_gone_when_it_has_rested() -> None:
    slots, _ = table(1)
    for _ in range(layout.WINDOW + 1):
        slot = slots.insert(key(1), half(1), Use.TRACKED)
        assert slot is not None
        slots.remove(slot)
    assert slots.insert(key(1), half(1), Use.TRACKED) is None
    assert slots.crowded
    slots.hurry()
    slots.reclaim()
    slots.reclaim()
    assert not slots.crowded
    assert slots.insert(key(1), half(1), Use.TRACKED) is None
    slots.rested()
    assert slots.insert(key(1), half(1), Use.TRACKED) == 0


def test_half_full_nearly_all_are_at_home_or_next_to_it() -> None:
    slots, _ = table(4000)
    filled = {
        number: slots.insert(key(number), half(number), Use.TRACKED) for number in range(2000)
    }
    distances = [slot - slots.home(key(n)) for n, slot in filled.items() if slot is not None]
    assert len(distances) == 2000
    assert sum(distances) / 2000 < 1


def test_no_secret_crowds_the_flows_of_one_client_with_many_servers() -> None:
    """With this one, products that were not mixed once more had most of them away from home."""
    homes = 80_000
    memory = bytearray(room(homes) * SIZE)
    slots = Slots(memory, homes, seed=0x76AC2F260E6DD9A4, factor=0xCC3489F7C18A0B53)
    strays = 0
    for server, port in product(range(2500), range(1024, 1040)):
        slice_ = struct.pack("!4sIHH", b"\x0a\0\0\2", 0xC6120000 + server, port, 9)
        one = layout.key(slice_, 17, 0)
        strays += slots.insert(one, half(0), Use.TRACKED) != slots.home(one)
    assert strays < 0.27 * 40_000


def test_flows_that_are_neighbours_with_one_secret_are_not_with_another() -> None:
    """Of one pair of addresses, since who attacks cannot choose those."""
    slots, _ = table(1_000_000)
    ports = sorted(range(20_000), key=lambda number: slots.home(key(number)))[:200]
    assert max(slots.home(key(number)) for number in ports) < 20_000
    slots.factor = 0xD6E8FEB86659FD93
    assert max(slots.home(key(number)) for number in ports) > 900_000


def test_a_report_can_still_be_read_when_its_half_is_gone() -> None:
    slots, memory = table()
    slot = slots.insert(key(1), half(1), Use.OFFLOADED)
    assert slot is not None
    at = slot * SIZE + layout.Key.size + layout.REPORT_AT
    layout.REPORT.pack_into(memory, at, 1, 2, 3, 4)
    slots.remove(slot)
    assert slots.report(slot) == (1, 2, 3, 4)


def test_what_an_earlier_process_has_filled_is_found_by_its_key() -> None:
    slots, memory = table()
    entered = [slots.insert(key(number), half(number), Use.OFFLOADED) for number in range(20)]
    gone = entered.pop()
    assert gone is not None
    slots.remove(gone)
    heir = Slots(memory, slots.homes, slots.seed, slots.factor)
    inherited = heir.inherit()
    assert [at for at, is_filled in enumerate(inherited) if is_filled] == sorted(entered)  # type: ignore[type-var]
    assert [heir.find(key(number)) for number in range(20)] == [*entered, None]
    heir.reclaim()
    heir.reclaim()
    assert heir.used(gone) is Use.EMPTY


def test_a_successor_sees_what_its_predecessor_fills_and_empties_beside_it() -> None:
    slots, memory = table(64)
    placed = [slots.insert(key(n), half(n), Use.TRACKED) for n in range(20)]
    gone, resting = placed[0], placed[1]
    assert gone is not None
    assert resting is not None
    slots.remove(resting)
    heir = Slots(memory, 64, slots.seed, slots.factor)
    inherited = heir.inherit()
    slots.changed = set()
    slots.remove(gone)
    slots.reclaim()
    slots.reclaim()
    again = [slots.insert(key(n), half(n), Use.TRACKED) for n in range(100, 120)]
    slots.remove(again[0] or 0)
    for slot, is_filled in heir.inherit_changes(slots.changed):
        inherited[slot] = is_filled
    afresh = Slots(memory, 64, slots.seed, slots.factor)
    assert inherited == afresh.inherit()
    assert sorted(heir._retired) == sorted(afresh._retired)
    for _ in range(2):
        heir.reclaim()
    assert all(
        heir.find(key(n)) == slot for n, slot in zip(range(101, 120), again[1:], strict=True)
    )
