"""The FTP helper alone: conversations of a client and a server, cut into segments anywhere.

The first byte chooses between plausible conversations, which reach deep, and raw bytes from both ends. The
laws are in `tests/helpers/ftp_oracle.py`.
"""

from __future__ import annotations

from ipmasq.helpers.ftp import Ftp
from ipmasq.testing import CLIENT, SERVER, Talk
from tests.helpers.ftp_oracle import check
from tests.helpers.ftp_talk import SIDES, Bytes, converse

MEASURED = ("ipmasq.helpers.ftp", "ipmasq.helpers.ftp_dialogue")
LONGEST = 200


def one_input(data: bytes) -> None:
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
