"""Conversations with rewrites, for tests."""

from __future__ import annotations

from tests.core.conversation import (
    Conversation,
    Outcome,
    Side,
    read,
)


def own(talk: Conversation) -> list[tuple[int, bytes]]:
    """What the gateway sends to the server by itself: position and bytes."""
    sent = []
    for packet, side in talk.engine.outgoing():
        assert side is Side.INSIDE
        seen = read(packet)
        assert seen.destination.address == read_address("198.51.100.1")
        first = talk.first[Side.INSIDE]
        sent.append(((seen.segment.sequence - first) % 2**32, seen.payload))
    return sent


def read_address(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


def size(outcome: Outcome) -> int:
    return sum(len(packet.data) for packet in outcome.verdict.packets)


PORT = b"PORT 10,0,0,2,4,1\r\n"


def rewritten(talk: Conversation, text: bytes = PORT) -> tuple[bytes, int]:
    """Say a PORT; what was sent instead, and by how much it grew."""
    after = talk.client(text).payload
    assert after.startswith(b"PORT 203,0,113,1,")
    assert after.endswith(b"\r\n")
    return after, len(after) - len(text)
