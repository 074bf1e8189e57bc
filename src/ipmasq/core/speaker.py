"""The two ends of a flow, by what they say."""

from __future__ import annotations

from enum import IntEnum


class Speaker(IntEnum):
    """The end that sends something: the client opened the flow, the server was addressed."""

    CLIENT = 0
    SERVER = 1

    @property
    def other(self) -> Speaker:
        return _OTHERS[self]


_OTHERS = (Speaker.SERVER, Speaker.CLIENT)
