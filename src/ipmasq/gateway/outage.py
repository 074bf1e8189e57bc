"""Tells once of an outage of the store that a group shares, however often its reason changes meanwhile."""

from __future__ import annotations

from ipmasq.gateway.serving import Role

SETTLED = 1.0
"""Seconds for which the store cannot be used, or can be used again, before it is told. By then it is known what follows
for the role of this member."""

STAYS = 10.0
"""Seconds after which another reason of the same outage is told, too. A host that does not answer gives one reason for
some seconds, another one for a moment, and the first one again."""

EFFECTS = {
    Role.ACTIVE: "this member goes on, and the others get no records of its flows",
    Role.FENCED: "this member forwards nothing, since another one may be active",
    Role.WAITING: "this member waits for the lease, and forwards nothing",
    Role.STANDBY: "this standby learns of no new flows",
}
"""What follows for a member of each role."""


class Outage:
    def __init__(self) -> None:
        self._told = self._found = ""
        self._failed = self._since = 0.0
        """Since when there is any trouble or none, and since when there is this one."""

    def look(self, trouble: str, now: float) -> str | None:
        """Return the trouble that is to be told now, empty if it is over; None if there is nothing to tell."""
        if bool(trouble) != bool(self._found):
            self._failed = now
        if trouble != self._found:
            self._found, self._since = trouble, now
        if trouble == self._told:
            return None
        is_another = bool(trouble and self._told)
        if now - (self._since if is_another else self._failed) < (STAYS if is_another else SETTLED):
            return None
        self._told = trouble
        return trouble
