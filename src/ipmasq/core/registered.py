"""The helpers in use, and their counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.policy import HelperUse
from ipmasq.core.views import HelperView

Call: TypeAlias = Callable[[Helper, bytes, HelperContext], None]
"""Calls the `on_line` of a helper."""


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
