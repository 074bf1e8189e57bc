"""Packets at the engine, without anybody who means something by them: raw bytes, and headers with every bit.

Each: a byte that says what it is and from which side it comes. The laws are in `tests/core/stress.py`.
"""

from __future__ import annotations

from fuzz.choices import Choices
from ipmasq.core.side import Side
from tests.core.stress import Stress

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
    stress, choices = Stress(), Choices(data)
    while choices.left > 0:
        kind = choices(8)
        if kind < 2:
            raw = choices.bytes(choices(256))
            stress.receive(raw, Side(kind), intact=False)
        elif kind == 2:
            stress.odd_fragment(choices)
        elif kind == 3:
            stress.spoilt(choices)
        elif kind == 4:
            stress.answer(choices)
        else:
            stress.odd_packet(choices)
    stress.check()
