"""Warns the operator of hosts whose packets are dropped before they reach the engine."""

from __future__ import annotations

import logging

from ipmasq.planes.fastpath import FastPath, Offender
from ipmasq.wire.addresses import to_text

log = logging.getLogger("ipmasq")

EVERY = 60.0
"""Seconds between two warnings, so that a flood does not flood the log."""


class Floods:
    def __init__(self, fast: FastPath) -> None:
        self._fast = fast
        self._known = 0
        self._by_debtor: dict[Offender, int] = {}
        self._silent_until = 0.0

    def look(self, now: float) -> None:
        """Look for floods; called about once a second."""
        dropped = self._fast.dropped()
        if dropped > self._known and now >= self._silent_until:
            self._silent_until = now + EVERY
            worst = self._worst()
            log.warning(
                "%d packets dropped before the engine%s",
                dropped - self._known,
                f"; most of them: {_said(worst)}" if worst else "",
            )
            self._known = dropped

    def _worst(self) -> Offender | None:
        """Return the host that has lost the most packets since the last look."""
        before, self._by_debtor = self._by_debtor, {}
        for offender in self._fast.offenders():
            self._by_debtor[offender._replace(dropped=0)] = offender.dropped
        lost = {who: n - before.get(who, 0) for who, n in self._by_debtor.items()}
        return max(lost, key=lost.__getitem__, default=None)


def _said(offender: Offender) -> str:
    who = to_text(offender.host) if offender.host else f"the {offender.side.name.lower()}"
    return f"{who}, {offender.account}"
