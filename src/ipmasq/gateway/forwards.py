"""The forwards in use: those of the configuration, and the operator's changes to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence

from ipmasq.core.policy import Forward
from ipmasq.core.views import Passage
from ipmasq.gateway.aside import Aside
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.firewall.watch import FirewallWatch
from ipmasq.gateway.operated import Operated
from ipmasq.gateway.setup import Configuration
from ipmasq.planes.plane import PlaneError
from ipmasq.wire.lines import foreign, with_commands

log = logging.getLogger("ipmasq")

REVIEWS = 3
"""How often it is reviewed in a thread, if the policy changes meanwhile. After that, packets wait for a review."""


class Forwards:
    def __init__(
        self,
        configuration: Configuration,
        drive: Drive,
        firewall: FirewallWatch,
        operated: Operated,
    ) -> None:
        self._configuration = configuration
        self._drive, self._engine = drive, drive.engine
        self._firewall = firewall
        self._operated = operated
        self._reviews = Aside(drive.loop)

    def end(self) -> None:
        self._reviews.end()

    def review(self, forward: Forward) -> Generator[None, None, Sequence[str]]:
        """Return what `check` would warn of, by the policy of now. Yields until that is known. Raises ValueError for a
        mistake in the sense of `check`."""
        for _ in range(REVIEWS):
            policy = self._engine.policy
            if forward in self._engine.forwards():
                return ()
            review = self._reviews.do(lambda: self._review(forward))
            warnings = yield from self._reviews.wait(review)
            if self._engine.policy is policy:
                return warnings
        return self._review(forward)()

    def _review(self, forward: Forward) -> Callable[[], Sequence[str]]:
        """Return what reviews it, in any thread."""
        uses = [each.use for each in self._engine.manager.registered.values()]
        return lambda: self._configuration.review_forward(forward, uses)

    def add(
        self, forward: Forward, save: bool, warnings: Sequence[str] | None = None
    ) -> Sequence[str]:
        """Add a forward, or save one that was added before. Return the warnings of its review, which it still needs if
        they are None. Raises ValueError as `review` does, if the name is taken, another forward overlaps, the host
        needs these ports, or it cannot be saved."""
        if save and forward in self._engine.forwards():
            self._configuration.save_forward(forward)
            return ()
        if warnings is None:
            warnings = self._review(forward)()
        self._engine.add_forward(forward, self._drive.loop.clock())
        try:
            self._drive.claim()
        except PlaneError as error:
            self._engine.remove_forward(forward.name, self._drive.loop.clock())
            raise ValueError(str(error)) from error
        if save:
            try:
                self._configuration.save_forward(forward)
            except ValueError:
                self.remove(forward.name, save=False)
                raise
        self._operated.forward_added(forward)
        _warn(forward, warnings)
        return warnings

    def obstructions(self, of: Passage | Forward) -> Generator[None, None, Sequence[str]]:
        """Find what in the host's firewall drops the packets of such a flow, or connections to this forward, which was
        added. Yields until that is known. What is found for a forward is logged, too."""
        found = [str(each) for each in (yield from self._firewall.obstructions(of))]
        if isinstance(of, Forward):
            _warn(of, found)
        return found

    def remove(self, name: str, save: bool) -> None:
        """Remove a forward. Its live flows continue. Raises KeyError, or ValueError if the operator's own
        file has it."""
        forgotten = self._configuration.forget_forward(name) if save else False
        try:
            self._engine.remove_forward(name, self._drive.loop.clock())
        except KeyError:
            if not forgotten:
                raise
        self._operated.forward_removed(name)
        try:
            self._drive.claim()
        except PlaneError as error:
            log.error("%s", error)


def _warn(forward: Forward, warnings: Sequence[str]) -> None:
    for warning in warnings:
        text = f"forward {foreign(forward.name)}: {warning}"
        log.warning("%s", text, extra={"lines": with_commands(text)})
