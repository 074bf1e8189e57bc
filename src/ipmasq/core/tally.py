"""What a fast path has forwarded of all flows together, over restarts of the gateway."""

from __future__ import annotations

from ipmasq.core.plain import Fields

PACKET = 1 << 64
"""Packets and bytes are one number, in units of this and of 1: so each is added once."""


class Tally:
    """The record of a flow has the marks from which a successor reads on. What was counted since that record was written is
    left out of the tally's own record, or it would be counted twice after a crash."""

    __slots__ = ("_total", "_unkept")

    def __init__(self) -> None:
        self._total = self._unkept = 0

    @property
    def packets(self) -> int:
        return self._total // PACKET

    @property
    def bytes(self) -> int:
        return self._total % PACKET

    def add(self, packets: int, size: int) -> int:
        """Count what was forwarded of a flow. Return it as a number, of which a sum is to be given to `keep`."""
        count = packets * PACKET + size
        self._total += count
        self._unkept += count
        return count

    def keep(self, count: int) -> None:
        """Note that the record of a flow has, or needs no more, what was counted of it since its last record."""
        self._unkept -= count

    def keep_all(self) -> None:
        """Note that nobody will read on from the present marks of any flow."""
        self._unkept = 0

    def to_state(self) -> list[int]:
        return list(divmod(self._total - self._unkept, PACKET))

    def restore(self, state: Fields) -> None:
        """Go on with the tally of a state. Raises StateError."""
        self._total, self._unkept = state.integer(0) * PACKET + state.integer(1), 0
