"""The helpers in use, and their counters."""

from __future__ import annotations

from collections.abc import Iterable

from ipmasq.core.policy import HelperUse
from ipmasq.core.views import HelperView


class Registered:
    """A helper in use, and its counters."""

    def __init__(self, use: HelperUse) -> None:
        self.use = use
        self.bound = 0
        self.watching = 0
        self.inspected = 0
        self.rewritten = 0
        self.expected = 0
        self.met = 0
        self.kept_alive = 0
        self.failed = 0
        self.refused: dict[str, int] = {}

    def view(self) -> HelperView:
        use = self.use
        return HelperView(
            name=use.name,
            protocol=use.protocol,
            ports=tuple(sorted(use.ports)),
            orthogonal=use.orthogonal,
            on_failure=use.on_failure.name.lower(),
            bound=self.bound,
            watching=self.watching,
            inspected=self.inspected,
            rewritten=self.rewritten,
            expected=self.expected,
            met=self.met,
            kept_alive=self.kept_alive,
            failed=self.failed,
            refused=dict(self.refused),
        )


class RegisteredHelpers(dict[str, Registered]):
    """The helpers in use, by their names."""

    def __init__(self, uses: Iterable[HelperUse]) -> None:
        super().__init__()
        self.protocols: frozenset[int] = frozenset()
        """Those of which a helper inspects flows."""
        for use in uses:
            self.add(use)

    def add(self, use: HelperUse) -> Registered:
        """Add a helper, or replace one of the same name, whose counters continue."""
        registered = self.setdefault(use.name, Registered(use))
        registered.use = use
        self._list_protocols()
        return registered

    def remove(self, name: str) -> Registered:
        """Remove a helper. Raises KeyError."""
        removed = self.pop(name)
        self._list_protocols()
        return removed

    def _list_protocols(self) -> None:
        self.protocols = frozenset(each.use.protocol for each in self.values())
