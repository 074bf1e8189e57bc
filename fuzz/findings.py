"""What broke a law, kept: one file per place where it was broken, the shortest input that was seen."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from pathlib import Path

INNERMOST = 2
"""Frames of a traceback that tell one finding from another."""


class Findings:
    """Calls a target, and goes on after a finding, so that one hides no other."""

    def __init__(self, directory: Path, one_input: Callable[[bytes], None]) -> None:
        self._directory = directory
        self._one_input = one_input
        self._shortest: dict[str, int] = {}

    def __call__(self, data: bytes) -> None:
        found = finding(self._one_input, data)
        if found is None:
            return
        key, text = found
        if len(data) >= self._shortest.get(key, len(data) + 1):
            return
        self._shortest[key] = len(data)
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / f"finding-{key}").write_bytes(data)
        (self._directory / f"finding-{key}.txt").write_text(text)


def finding(one_input: Callable[[bytes], None], data: bytes) -> tuple[str, str] | None:
    """The key of what this input breaks and its traceback, or None."""
    try:
        one_input(data)
    except Exception as error:
        return key_of(error), "".join(traceback.format_exception(error))
    return None


def key_of(error: Exception) -> str:
    """The same for errors of one type that were raised at one place."""
    frames = traceback.extract_tb(error.__traceback__)[-INNERMOST:]
    lines = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    return hashlib.sha256(repr((type(error).__name__, lines)).encode()).hexdigest()[:10]


def shrink(one_input: Callable[[bytes], None], data: bytes, most: int = 20_000) -> bytes:
    """A shorter and plainer input that breaks the same law at the same place, in `most` attempts."""
    found = finding(one_input, data)
    if found is None:
        return data
    attempts = 0

    def same(candidate: bytes) -> bool:
        nonlocal attempts
        attempts += 1
        again = finding(one_input, candidate)
        return again is not None and again[0] == found[0]

    size = max(1, len(data) // 2)
    while size and attempts < most:
        at, before = 0, data
        while at < len(data) and attempts < most:
            without = data[:at] + data[at + size :]
            zeroed = data[:at] + bytes(len(data[at : at + size])) + data[at + size :]
            if same(without):
                data = without
                continue
            if zeroed != data and same(zeroed):
                data = zeroed
            at += size
        if size == 1 and data != before:
            continue
        size //= 2
    return data
