"""Packets at the engine, without anybody who means something by them: raw bytes, and headers with every bit.

Each: a byte that says what it is and from which side it comes. The laws are in `tests/core/turmoil.py`.
"""

from __future__ import annotations

from fuzz.choices import Choices
from ipmasq.core.side import Side
from tests.core.turmoil import Turmoil

MEASURED = (
    "ipmasq.core.engine",
    "ipmasq.core.errors",
    "ipmasq.core.reassembly",
    "ipmasq.core.translate",
    "ipmasq.wire.ipv4",
    "ipmasq.wire.tcp",
    "ipmasq.wire.checksum",
)
LONGEST = 200


def one_input(data: bytes) -> None:
    turmoil, choices = Turmoil(), Choices(data)
    while choices.left > 0:
        kind = choices(8)
        if kind < 2:
            raw = choices.bytes(choices(256))
            turmoil.receive(raw, Side(kind), intact=False)
        elif kind == 2:
            turmoil.odd_fragment(choices)
        elif kind == 3:
            turmoil.spoilt(choices)
        elif kind == 4:
            turmoil.answer(choices)
        else:
            turmoil.odd_packet(choices)
    turmoil.check()
