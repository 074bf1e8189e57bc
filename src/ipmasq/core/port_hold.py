"""Public ports that may recently have been other hosts', after all that was known of them is lost (RFC 6888, REQ-8).

Peers of the earlier mappings may still send to these ports, and nobody knows which they are. To allocate none would stop every
host for minutes. The requirement excepts ports whose filter depends on the remote address, so until the time has passed all
mappings have such a filter.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ipmasq.core.active import ActivePolicy
from ipmasq.core.plain import Fields
from ipmasq.core.policy import Behaviour


class PortHold:
    def __init__(self, active: ActivePolicy, clock: Callable[[], float]) -> None:
        self._active, self._clock = active, clock
        self.lost_at = -inf
        """When all that was known was lost."""

    @property
    def is_on(self) -> bool:
        return self._clock() < self.lost_at + self._active.policy.port_hold

    @property
    def filtering(self) -> Behaviour:
        """How mappings filter now."""
        chosen = self._active.policy.filtering
        if chosen is Behaviour.ENDPOINT_INDEPENDENT and self.is_on:
            return Behaviour.ADDRESS_DEPENDENT
        return chosen

    def explain(self) -> str:
        """Return why the filter is another one than the configured one; nothing if it is not."""
        if self.filtering is self._active.policy.filtering:
            return ""
        rest = self.lost_at + self._active.policy.port_hold - self._clock()
        return (
            f"for {rest:.0f} s more it admits only known addresses, since this may have been another host's port "
            "before the gateway began without its earlier state (port_hold)"
        )

    def to_state(self, now: float) -> float | None:
        """Return for how long that has been so, in seconds; None if it makes no difference any more."""
        return now - self.lost_at if self.is_on else None

    def restore(self, state: Fields, name: str, moment: float) -> None:
        """Take over that of a state, unless it is over earlier than this one. Earlier releases wrote none. Raises StateError."""
        if name in state.names() and not state.is_none(name):
            self.lost_at = max(self.lost_at, moment - state.seconds(name))
