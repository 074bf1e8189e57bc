"""The two sides of the gateway (RFC 2663: private and external realm)."""

from __future__ import annotations

from enum import IntEnum


class Side(IntEnum):
    INSIDE = 0
    OUTSIDE = 1

    @property
    def other(self) -> Side:
        return Side(1 - self)
