"""Fuzz one target, or try inputs on it again.

python -m fuzz.one TARGET [libFuzzer options] [corpus directories]      needs atheris
python -m fuzz.one TARGET FILE...                                       tries inputs again, needs nothing
python -m fuzz.one --shrink TARGET FILE...                              writes FILE.small
"""

from __future__ import annotations

import sys
from pathlib import Path

from fuzz.findings import Findings, finding, shrink
from fuzz.targets import target

BUILD = Path(__file__).parent.parent / "build" / "fuzz"


def main(arguments: list[str]) -> int:
    shrinking = arguments[:1] == ["--shrink"]
    if shrinking:
        arguments = arguments[1:]
    if not arguments:
        print(__doc__)
        return 2
    name, *rest = arguments
    files = [Path(each) for each in rest if Path(each).is_file()]
    if not files:
        return _fuzz(name, rest)
    one_input = target(name).one_input
    broken = 0
    for file in files:
        if shrinking:
            small = shrink(one_input, file.read_bytes())
            Path(f"{file}.small").write_bytes(small)
            print(f"{file}.small: {small!r}")
        elif found := finding(one_input, file.read_bytes()):
            print(f"{file}:\n{found[1]}")
            broken += 1
    print(f"{len(files)} inputs, {broken} break a law")
    return 1 if broken else 0


def _fuzz(name: str, options: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["ipmasq"]):
        chosen = target(name)
    longest = f"-max_len={chosen.LONGEST}"
    atheris.Setup(["fuzz", longest, *options], Findings(BUILD / name, chosen.one_input))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
