"""The memory layout that the programs share with the gateway: bpf/layout.h in Python.

`tests/planes/ebpf/test_layout.py` compares the two, names, offsets and sizes.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from enum import IntEnum
from typing import Literal, Self

SLICE = "12s"
ORDER: Literal["little", "big"] = sys.byteorder

KEY = (("slice", SLICE), ("protocol", "B"), ("side", "B"), ("use", "B"), ("reach", "B"))
HALF = (
    ("rewrite", SLICE),
    ("destination", "6s"),
    ("device", "B"),
    ("reach", "B"),
    ("mtu", "H"),
    ("ingress", "H"),
    ("epoch", "I"),
    ("seen", "I"),
    ("traffic", "Q"),
    ("end", "I"),
    ("acknowledged", "I"),
)
DEVICE = (("index", "I"), ("source", "6s"), ("zero", "H"))
STATE = (
    ("heartbeat", "Q"),
    ("seed", "Q"),
    ("factor", "Q"),
    ("homes", "I"),
    ("epoch", "I"),
    ("via", "2I"),
    ("grace", "I"),
    ("outside", "I"),
    ("strict", "Q"),
    ("twice", "I"),
    ("address", "6s"),
    ("ethernet", "H"),
    ("zero", "I"),
)
FILLED = (("original", "I"), ("reply", "I"))
FILLING = (("next", "I"), ("end", "I"), ("seen", "I"), ("slots", "I"), ("zero", "48s"))
PAYER = (("whose", "4s"), ("side", "H"), ("kind", "H"))
ACCOUNT_STATE = (("spent_until", "Q"), ("dropped", "Q"))

Fields = tuple[tuple[str, str], ...]


def packed(fields: Fields) -> struct.Struct:
    """Return the structure in host byte order without padding, since the C structures have none."""
    return struct.Struct("=" + "".join(form for _, form in fields))


def offsets(fields: Fields) -> dict[str, int]:
    found, at = {}, 0
    for name, form in fields:
        found[name] = at
        at += struct.calcsize("=" + form)
    return found


Key, Half, Device, State = packed(KEY), packed(HALF), packed(DEVICE), packed(STATE)
Filled, Filling = packed(FILLED), packed(FILLING)
Payer, AccountState = packed(PAYER), packed(ACCOUNT_STATE)
REPORT = struct.Struct("=IQII")
"""`seen`, `traffic`, `end`, `acknowledged` at the end of a half."""
REPORT_AT = offsets(HALF)["seen"]
POSITION = struct.Struct("=II")
"""`end` and `acknowledged`, likewise."""
POSITION_AT, REACH_AT = offsets(HALF)["end"], offsets(HALF)["reach"]

TIME_SHIFT = 20
TRAFFIC_SHIFT = 38
WINDOW = 128
DEVICES = 64
ADMITTED = 0x10000000
ROWS, LANES, AT_ONCE = 8192, 4, 8
NOWHERE = 0xFFFFFFFF
ANYWHERE, ADOPTED = 31, 32
"""The reach of a half that was filled from a row and that nobody has taken over yet. Of other halves it is less."""


class Use(IntEnum):
    """The state of a slot."""

    EMPTY = 0
    QUARANTINED = 1
    TRACKED = 2
    OFFLOADED = 3


class _Described(IntEnum):
    """Numbers with a description for people."""

    sentence: str

    def __new__(cls, value: int, sentence: str) -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class Reason(_Described):
    """Why a program passed a packet on: XDP to TC, and TC to the kernel, which routes it to the engine."""

    FORWARDED = 0, "forwarded"
    NOT_IPV4 = 1, "not IPv4"
    SHORT = 2, "incomplete headers"
    OPTIONS = 3, "IP options"
    FRAGMENT = 4, "a fragment"
    HOP_LIMIT = 5, "the time to live expires"
    PROTOCOL = 6, "neither TCP nor UDP"
    FLAGS = 7, "opens or closes a connection"
    NO_ENTRY = 8, "no flow in the table"
    HEARTBEAT_LOST = 9, "the gateway's heartbeat is too old"
    NO_ROUTE = 10, "no route"
    NO_NEIGHBOUR = 11, "the next hop's address is not known"
    STALE_HOP = 12, "the next hop must be looked up again"
    NO_TARGET = 13, "the device accepts no packets from XDP"
    TOO_BIG = 14, "larger than the MTU of the next hop"
    UNWRITABLE = 15, "no memory to change it"
    NOT_OFFLOADED = 16, "a flow that is not offloaded"
    NOT_FOR_US = 17, "a frame to another station, or to a group"
    REVERSE_PATH = 18, "came in by an interface that does not lead back to its sender"


class Account(_Described):
    """The account to which a packet for the engine is charged."""

    FLOW = (
        0,
        "more packets of a TCP flow, or to a socket of the host's, "
        "than a part of limits.tracked_pps_per_host",
    )
    HOST = 1, "more packets of an inside host's flows than limits.tracked_pps_per_host"
    OPENINGS = (
        2,
        "more packets without a flow from an inside host than limits.untracked_pps_per_host",
    )
    UNTRACKED = 3, "more packets without a flow than limits.untracked_pps_per_side"


class Hook(IntEnum):
    TC = 0
    XDP = 1


def digest() -> str:
    """Return a name of this layout, by which the maps of another one are recognised."""
    numbers = [(each.name, each.value) for kind in (Use, Reason, Account, Hook) for each in kind]
    structures = KEY, HALF, DEVICE, STATE, PAYER, ACCOUNT_STATE
    constants = TIME_SHIFT, TRAFFIC_SHIFT, WINDOW, DEVICES, ADMITTED
    text = repr((structures, constants, numbers))
    return hashlib.blake2s(text.encode(), digest_size=6).hexdigest()


def key(slice_: bytes, protocol: int, side: int) -> bytes:
    """Return the key of packets with this slice."""
    return Key.pack(slice_, protocol, side, 0, 0)


_BYTES = (1 << TRAFFIC_SHIFT) - 1
_UNIT = (1 << TIME_SHIFT) / 1e9
_WORD = 0xFFFFFFFF


def units(now: float) -> int:
    """Convert a time on the monotonic clock (seconds) to the programs' units."""
    return int(now * 1e9) >> TIME_SHIFT


def heartbeat(now: float, lasts: float, grace: float) -> int:
    """Return a heartbeat after which programs forward for `grace` seconds, but no longer than for `lasts` seconds
    from now."""
    if lasts >= grace:
        return units(now)
    # The clock of the programs is some milliseconds behind this one, so the end must not be just now.
    end = units(now + lasts) if lasts > 0 else units(now) - units(grace)
    return (end - units(grace)) & 0xFFFFFFFFFFFFFFFF


def seen_at(now: float) -> int:
    """Convert a time to the form that a half reports."""
    return units(now) & _WORD


def seconds(seen: int, now: float) -> float:
    """Return when `seen` was, on the clock that shows `now`; never later than that."""
    age = (units(now) - seen) & _WORD
    return now - age * _UNIT if age < 1 << 31 else now


def counted(traffic: int, before: int) -> tuple[int, int]:
    """Return `(packets, bytes)` by which the counter has grown; it may have wrapped around."""
    grown = (traffic - before) & 0xFFFFFFFFFFFFFFFF
    return grown >> TRAFFIC_SHIFT, grown & _BYTES
