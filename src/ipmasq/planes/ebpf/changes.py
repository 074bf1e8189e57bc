"""Watches rules, routes, devices and neighbours, and reports when cached next hops are no longer valid."""

from __future__ import annotations

import struct

from ipmasq.planes.netlink import Reports, attributes

# <linux/rtnetlink.h>, <linux/neighbour.h>
GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 1 << 23
"""Links, neighbours, IPv4 addresses, routes, rules, and IPv4 settings (`rp_filter`)."""
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
NDA_DST, NDA_LLADDR = 1, 2
NUD_FAILED = 0x20

_NEIGHBOUR = struct.Struct("=BxxxiHBB")


class HopChanges:
    def __init__(self) -> None:
        self._reports = Reports(GROUPS)
        self._neighbours: dict[tuple[int, bytes], bytes] = {}

    def fileno(self) -> int:
        return self._reports.fileno()

    def close(self) -> None:
        self._reports.close()

    def have_come(self) -> bool:
        """Return whether a relevant change has occurred since the last call."""
        changed = False
        for report in self._reports.take():
            if report is None:
                self._neighbours.clear()
                changed = True
            else:
                changed |= report[0] not in (RTM_NEWNEIGH, RTM_DELNEIGH) or self._moved(*report)
        return changed

    def _moved(self, kind: int, body: bytes) -> bool:
        """Return whether a neighbour's address has changed. Neighbours are confirmed all the time, which does
        not matter."""
        _, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
        found = dict(attributes(body[_NEIGHBOUR.size :]))
        key = index, found.get(NDA_DST, b"")
        if kind == RTM_DELNEIGH or state & NUD_FAILED:
            self._neighbours.pop(key, None)
            return True
        address = found.get(NDA_LLADDR)
        if address is None or self._neighbours.get(key) == address:
            return False
        known = key in self._neighbours
        self._neighbours[key] = address
        return known
