"""Which lines of which modules the inputs of a corpus run, without any tool.

python -m fuzz.lines TARGET DIRECTORY      prints `lines run / lines there` of the target's modules
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fuzz.findings import finding
from fuzz.targets import target


class Lines:
    """Traces files; begins before they are imported, so that what runs at import counts."""

    def __init__(self) -> None:
        self.run: dict[str, set[int]] = {}
        self._within = str(Path(__file__).parent.parent / "src")

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(self._within):
            return None
        lines = self.run.setdefault(name, set())
        lines.add(frame.f_lineno)

        def line(frame: FrameType, event: str, arg: object) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line


def there(file: str) -> set[int]:
    """Lines that have code."""
    found: set[int] = set()
    left: list[CodeType] = [compile(Path(file).read_text(), file, "exec")]
    while left:
        code = left.pop()
        found |= {line for _, _, line in code.co_lines() if line}
        left += [each for each in code.co_consts if isinstance(each, CodeType)]
    return found


def count(name: str, directory: Path) -> tuple[int, int]:
    """`(lines run, lines there)` of the modules that a target measures itself by."""
    lines = Lines()
    sys.settrace(lines.trace)
    try:
        chosen = target(name)
        for file in sorted(directory.iterdir()):
            finding(chosen.one_input, file.read_bytes())
    finally:
        sys.settrace(None)
    run = total = 0
    for module in chosen.MEASURED:
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        code = there(spec.origin)
        run += len(code & lines.run.get(spec.origin, set()))
        total += len(code)
    return run, total


if __name__ == "__main__":
    print(*count(sys.argv[1], Path(sys.argv[2])))
