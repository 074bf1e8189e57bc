"""Continues with the flows that another member of the group has served, and forgets those that another one has now.

There is one engine, which has the flows of all shares that are served here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import inf

from ipmasq.continuity.follower import Follower
from ipmasq.continuity.settings import HaSettings
from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.indexed import Indexed
from ipmasq.core.plain import StateError
from ipmasq.core.policy import Policy
from ipmasq.core.restoring import Kept
from ipmasq.gateway.ahead import Ahead
from ipmasq.gateway.drive import Drive, chance
from ipmasq.gateway.holding import hold_ports
from ipmasq.gateway.offloading import Offloading
from ipmasq.gateway.operator import Operator
from ipmasq.gateway.replication import Publisher, Replication, of_share
from ipmasq.gateway.serving import Serving
from ipmasq.planes.plane import PlaneError

log = logging.getLogger("ipmasq")


class Takeovers:
    """The `Flows` of a member of a group (`ipmasq.gateway.serving`)."""

    def __init__(
        self,
        settings: HaSettings,
        drive: Drive,
        offloading: Offloading,
        operator: Operator,
        changed: Callable[[], object],
        served: Callable[[], Sequence[Serving]],
    ) -> None:
        """`changed` is called when the engine continues as another one. `served` returns what this member serves."""
        self._settings = settings
        self._drive, self._loop = drive, drive.loop
        self._offloading, self._operator = offloading, operator
        self._changed, self._serves = changed, served
        self._ahead = Ahead(drive.loop, offloading)
        self.publisher = Publisher(drive.engine, drive.loop)
        operator.publish_by(self.publisher.set)

    @property
    def _served(self) -> Sequence[Serving]:
        return self._serves()

    def limit(self) -> None:
        """Let the fast path forward only as long as this member may."""
        self._offloading.ahead_until = self._ahead.until
        self._offloading.limit()

    def stop(self) -> None:
        """Forward nothing any more, since the leases are given up next."""
        self._drive.until = -inf
        self._ahead.end()
        self.limit()

    def expect(self, serving: Serving, follower: Follower) -> None:
        """See `Flows`."""
        if self._served:
            follower.index()
        else:
            self._ahead.begin(serving, follower)

    def expect_nothing(self, serving: Serving) -> None:
        """See `Flows`."""
        if self._ahead.is_for(serving) and self._ahead.end(serving):
            self._offloading.forget()
            self._offloading.begin()

    def take_over(self, serving: Serving, follower: Follower) -> Replication:
        """See `Flows`."""
        names = [*(each.share for each in self._served), serving.share]
        policy = self._followed(follower).serving(names)
        held = follower.held
        kept = held.of_engine()
        if not any(each.kind == Kind.REST for each in kept):
            log.warning("nobody has left any records: this gateway begins with no flows")
        elif not follower.is_complete:
            log.warning("some records are missing, so some flows may not go on")
        unused = held.plain.unused_numbers()
        before = self._drive.engine.table.count
        if len(names) > 1:
            self._join(policy, kept, held.plain)
            inherited = None
        else:
            self._become(self._restored(policy, kept, held.plain), serving)
            # An engine that begins with no flows numbers them anew, too.
            is_same = _are_all_pools(kept)
            inherited = (self._drive.engine.manager.opened or None) if is_same else None
        log.info("%d flows go on at this gateway", self._drive.engine.table.count - before)
        if not follower.is_complete:
            hold_ports(self._drive.engine, self._loop.clock())
        belongs = of_share(self._drive.engine, serving.share)
        wait, after = self._settings.wait, self._settings.after
        made = Replication(self.publisher, serving.feed(), wait, after, belongs, inherited)
        if inherited is None:
            made.number_anew()
        self.publisher.add(made)
        if inherited is not None:
            # The engine has dropped mappings that nothing uses, and may have loaded other helpers.
            self.publisher.mark([(Kind.REST, 0), *((Kind.MAPPING, number) for number in unused)])
        self._drive.write_ahead = self.publisher.write_ahead
        self._answer(True)
        return made

    def _followed(self, follower: Follower) -> Policy:
        try:
            return self._operator.follow(follower.held.of_gateway(), anew=not self._served)
        except StateError as error:
            log.error("the changes of another member's operator cannot be used: %s", error)
            return self._drive.engine.policy

    def _restored(self, policy: Policy, kept: list[Kept], plain: Indexed) -> Engine:
        """Return an engine from what was followed, or an empty one if that is of no use."""
        now = self._loop.clock()
        if any(each.kind == Kind.REST for each in kept):
            try:
                # The former member may have sent packets since it wrote the records.
                if _are_all_pools(kept):
                    return Engine.from_records(policy, chance, kept, now, True, plain)
                engine = Engine(policy, chance, now)
                engine.join(kept, now, plain.compact)
                return engine
            except StateError as error:
                log.error("the records cannot be used, so no flow goes on: %s", error)
        return hold_ports(Engine(policy, chance, now), now)

    def _join(self, policy: Policy, kept: list[Kept], plain: Indexed) -> None:
        """Continue with the flows of one more share, beside those of the others."""
        engine, now = self._drive.engine, self._loop.clock()
        before, known = engine.policy, engine.manager.opened
        engine.apply(policy, now)
        try:
            engine.join(kept, now, plain.compact)
        except StateError as error:
            log.error("the records cannot be used, so no flow goes on: %s", error)
            engine.apply(policy.serving(_names(before)), now)
            engine.apply(policy, now)
            hold_ports(engine, now)
        self._offloading.enter([number for number in engine.table.flows if number > known])

    def drop(self, serving: Serving) -> None:
        """See `Flows`."""
        engine, now, left = self._drive.engine, self._loop.clock(), self._served
        if left:
            engine.apply(engine.policy.serving([each.share for each in left]), now)
            self._drive.publish()
            self._answer(True)
            return
        self._drive.until, self._drive.write_ahead = -inf, None
        self._offloading.limit()
        self._become(Engine(self._operator.forget().serving(()), chance, now))
        self._answer(False)

    def _become(self, engine: Engine, serving: Serving | None = None) -> None:
        """Continue as another engine, perhaps with what one share of the group has had."""
        if self._ahead.end(serving) and engine.table.unrestored:
            self._offloading.pass_on()
        else:
            self._offloading.forget()
        self._drive.publish()
        self._drive.engine.become(engine)
        self._offloading.begin()
        self._changed()

    def _answer(self, value: bool) -> None:
        self._drive.answers = value
        try:
            self._drive.claim()
        except PlaneError as error:
            log.error("%s", error)


def _are_all_pools(kept: list[Kept]) -> bool:
    """Return whether these are all pools of the former member: one that has served other shares, too, has counted theirs
    in between."""
    numbers = sorted(int(each.key) for each in kept if each.kind == Kind.POOL)
    return numbers == list(range(len(numbers)))


def _names(policy: Policy) -> list[str]:
    """Return the shares that are served under a policy."""
    return [each.name for each in policy.shares if each.public[0] in policy.public]
