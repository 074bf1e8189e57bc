"""The helpers in use, and their counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.policy import HelperUse
from ipmasq.core.views import HelperView

Call: TypeAlias = Callable[[Helper, bytes, HelperContext], None]
"""Calls the `on_line` of a helper."""

COUNTERS = (
    "bound", "watching", "inspected", "rewritten", "expected", "met", "kept_alive", "failed",
)  # fmt: skip


def _settings(use: HelperUse) -> str:
    """Return all settings, as text that is only compared."""
    return repr(replace(use, make=Helper))


def _none(name: str) -> HelperUse:
    """Return the use of a helper that is in none."""
    return HelperUse(name, Helper, 0, frozenset(), orthogonal=False)


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
        self.call: Call | None = None
        """If set, it is called in place of `on_line`: by who measures how long the helper takes."""
        self.is_loaded = True
        """False after it was unloaded; a connection that it has changed may still refer to it."""

    @classmethod
    def unloaded(cls, name: str) -> Registered:
        """Return a helper that is not in use any more."""
        made = cls(_none(name))
        made.is_loaded = False
        return made

    def to_state(self) -> Plain:
        """Return its name and counters as plain values."""
        return {
            "name": self.use.name,
            "settings": _settings(self.use),
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "refused": dict(self.refused),
        }

    @classmethod
    def from_state(cls, state: Fields, use: HelperUse | None) -> Registered:
        """Return the helper of a state with its counters. `use` is its present use; if it has none, or has other
        settings than in the state, the helper has a use that serves no port. Raises StateError."""
        name, settings = state.text("name"), state.text("settings")
        made = cls(use or _none(name))
        if settings != _settings(made.use):
            made.use = replace(made.use, ports=frozenset(), source_ports=frozenset())
        counters, refused = state.fields("counters"), state.fields("refused")
        for name in COUNTERS:
            setattr(made, name, counters.integer(name))
        made.refused = {reason: refused.integer(reason) for reason in refused.names()}
        return made

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

    def restore(self, helpers: Iterable[Registered]) -> None:
        """Replace all helpers by these, which a state has."""
        self.clear()
        self.update((each.use.name, each) for each in helpers)
        self._list_protocols()

    def remove(self, name: str) -> Registered:
        """Remove a helper. Raises KeyError."""
        removed = self.pop(name)
        self._list_protocols()
        return removed

    def _list_protocols(self) -> None:
        self.protocols = frozenset(each.use.protocol for each in self.values())
