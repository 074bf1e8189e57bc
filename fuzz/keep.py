"""Choose the inputs of a target that are worth keeping in the repository.

    python -m fuzz.keep TARGET      from build/fuzz/TARGET/corpus and fuzz/corpus/TARGET into the latter

Shortest first, each that is lawful and runs from one line to another as none before it did.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz.findings import finding
from fuzz.targets import target

HERE = Path(__file__).parent
MOST_KEPT, MOST_BYTES = 250, 24_000
"""Inputs and bytes of one target."""
PATIENCE = 60.0
"""Seconds that a choice may take: long inputs are then left out."""


class Steps:
    """From which line to which line of `ipmasq` inputs go."""

    def __init__(self) -> None:
        self.steps: set[tuple[str, int, int]] = set()
        self._within = str(HERE.parent / "src")

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        name = code.co_filename
        if not name.startswith(self._within):
            return None
        before, steps = frame.f_lineno, self.steps

        def line(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal before
            steps.add((name, before, frame.f_lineno))
            before = frame.f_lineno
            return line

        return line


def choose(name: str, inputs: list[bytes]) -> list[bytes]:
    one_input = target(name).one_input
    known: set[tuple[str, int, int]] = set()
    chosen: list[bytes] = []
    size, late = 0, time.monotonic() + PATIENCE
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        steps = Steps()
        sys.settrace(steps.trace)
        try:
            broken = finding(one_input, data)
        finally:
            sys.settrace(None)
        if broken is None and steps.steps - known:
            known |= steps.steps
            chosen.append(data)
            size += len(data)
        if len(chosen) >= MOST_KEPT or size > MOST_BYTES or time.monotonic() > late:
            break
    return chosen


def main(name: str) -> None:
    kept = HERE / "corpus" / name
    folders = kept, HERE.parent / "build" / "fuzz" / name / "corpus"
    files = [file for folder in folders if folder.is_dir() for file in folder.iterdir()]
    chosen = choose(name, [file.read_bytes() for file in files])
    kept.mkdir(parents=True, exist_ok=True)
    for old in kept.iterdir():
        old.unlink()
    for data in chosen:
        (kept / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    print(f"{name}: {len(chosen)} of {len(files)} inputs, {sum(map(len, chosen))} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
