"""Packets, time and operators against the engine, made from a fuzzer's bytes; see README.md.

    python fuzz/fuzz_engine.py [libFuzzer options] [corpus directories]      needs atheris
    python fuzz/fuzz_engine.py FILE...                                       replays inputs, needs nothing

The first byte chooses between things that happen (`tests/core/turmoil.py`) and raw packets.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent)]

try:
    import atheris
except ImportError:
    atheris = None  # only replays

with atheris.instrument_imports(include=["ipmasq"]) if atheris else nullcontext():
    from ipmasq.core.side import Side
    from tests.core.turmoil import Turmoil


class Bytes:
    """The fuzzer's bytes as choices; zeros when they have run out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def choose(self, n: int) -> int:
        size = (max(1, (n - 1).bit_length()) + 7) // 8
        piece = self.data[self.at : self.at + size]
        self.at += size
        return int.from_bytes(piece, "big") % n

    @property
    def left(self) -> int:
        return len(self.data) - self.at


def one_input(data: bytes) -> None:
    """Raises if a law was broken, or the engine raised."""
    turmoil, source = Turmoil(), Bytes(data[1:])
    if data[:1] < b"\xc0":
        while source.left > 0:
            Turmoil.EVENTS[source.choose(len(Turmoil.EVENTS))](turmoil, source.choose)
            turmoil.check()
    else:
        raw_packets(turmoil, source)


def raw_packets(turmoil: Turmoil, source: Bytes) -> None:
    """Each: a byte of which the lowest bit says from which side, one for the length, and the packet."""
    while source.left > 0:
        side, length = Side(source.choose(256) & 1), source.choose(256)
        turmoil.receive(source.data[source.at : source.at + length], side, intact=False)
        source.at += length
        turmoil.check()


def main(arguments: list[str]) -> int:
    files = [Path(argument) for argument in arguments[1:] if Path(argument).is_file()]
    if files:
        for file in files:
            one_input(file.read_bytes())
        print(f"{len(files)} inputs: lawful")
    elif atheris:
        atheris.Setup(arguments, one_input)
        atheris.Fuzz()
    else:
        print("atheris is not installed: pip install atheris, or name inputs to replay")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
