"""What operators have changed at other members of a group, which this one continues with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Policy
from ipmasq.gateway.helpers import Helpers
from ipmasq.gateway.operated import Operated, Set
from ipmasq.gateway.setup import Configuration

log = logging.getLogger("ipmasq")


class Operator:
    def __init__(
        self,
        engine: Engine,
        operated: Operated,
        helpers: Helpers,
        configuration: Configuration,
        of_file: Callable[[], Policy],
    ) -> None:
        """`of_file` returns the policy of the file."""
        self._engine, self._operated, self._helpers = engine, operated, helpers
        self._configuration, self._of_file = configuration, of_file

    def publish_by(self, publish: Set) -> None:
        """Let changes that are made here be published by this, for the other members."""
        self._operated.keep_by(publish)

    def follow(self, rows: Mapping[str, object], anew: bool) -> Policy:
        """Return the policy that is in force with the changes of another member's operator, which are in these
        rows (see `Operated`). `anew`: without those that were made here. Raises StateError."""
        running = self.forget() if anew else self._engine.policy
        running = replace(running, helpers=self._helpers.in_use)
        policy, troubles = self._operated.restore(running, rows, self._configuration)
        for trouble in troubles:
            log.warning("%s", trouble)
        self._helpers.reset(policy.helpers)
        return policy

    def forget(self) -> Policy:
        """Forget all changes, since another member has them. Return the policy of the file."""
        self._operated.clear()
        policy = self._of_file()
        self._helpers.reset(policy.helpers)
        return replace(policy, own=self._engine.policy.own)
