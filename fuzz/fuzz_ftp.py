"""Conversations against the FTP helper, made from a fuzzer's bytes; see README.md.

    python fuzz/fuzz_ftp.py [libFuzzer options] [corpus directories]      needs atheris
    python fuzz/fuzz_ftp.py FILE...                                       replays inputs, needs nothing

The first byte chooses between plausible conversations, which reach deep, and raw bytes from both ends.
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
    from ipmasq.helpers.ftp import Ftp
    from tests.helpers.ftp_oracle import check
    from tests.helpers.ftp_talk import SIDES, Bytes, converse
    from tests.helpers.playbook import CLIENT, SERVER, Talk


def one_input(data: bytes) -> None:
    """Raises if a line was treated unlawfully, or the helper raised."""
    if data[:1] < b"\xc0":
        converse(Bytes(data[1:]), lines=len(data) // 4)
    else:
        raw_bytes(data[1:])


def raw_bytes(data: bytes) -> None:
    """Who is masqueraded, then segments: a byte of which the lowest bit says who speaks, the rest how much."""
    talk = Talk(Ftp(), SIDES[data[0] % 4] if data else ())
    at = 1
    while at < len(data):
        speaker, length = (CLIENT, SERVER)[data[at] & 1], data[at] >> 1
        for heard in talk.feed(speaker, data[at + 1 : at + 1 + length]):
            check(talk, speaker, heard)
        at += 1 + length


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
