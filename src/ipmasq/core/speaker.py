"""The two ends of a flow, by what they say."""

from __future__ import annotations

from enum import IntEnum


class Speaker(IntEnum):
    """Who says something: the end that opened the flow, or the one that answered."""

    CLIENT = 0
    SERVER = 1

    @property
    def other(self) -> Speaker:
        return _OTHERS[self]


_OTHERS = (Speaker.SERVER, Speaker.CLIENT)
