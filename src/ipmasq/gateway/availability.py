"""The role of this gateway in a group: active, or ready to take over; in a divided group, for each share of it.

Whoever is to be active is decided elsewhere (keepalived, by `ipmasq ha`). Here it takes effect: see `Serving`. There
is one engine, which has the flows of all shares that are served here. A standby has no flows, and drops what reaches
it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from math import inf, isfinite
from typing import Any

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.follower import Follower
from ipmasq.continuity.members import Member, Roll
from ipmasq.continuity.sentinels import Connector
from ipmasq.continuity.settings import HaSettings
from ipmasq.continuity.votes import Votes
from ipmasq.continuity.worker import Bell
from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.events import RecordsRefused, RoleChanged, StoreFailed, StoreRecovered
from ipmasq.core.indexed import Indexed
from ipmasq.core.plain import StateError
from ipmasq.core.policy import Policy
from ipmasq.core.restoring import Kept
from ipmasq.gateway.drive import Drive, chance
from ipmasq.gateway.holding import hold_ports
from ipmasq.gateway.offloading import Offloading
from ipmasq.gateway.operator import Operator
from ipmasq.gateway.outage import EFFECTS, Outage
from ipmasq.gateway.replication import Publisher, Replication, of_share
from ipmasq.gateway.serving import Role, Serving
from ipmasq.planes.plane import PlaneError

log = logging.getLogger("ipmasq")

LOOK_EVERY = 0.1
"""Seconds between two looks at the lease, which is valid for `fence.VALID` after it was renewed."""

RANKS = Role.ACTIVE, Role.FENCED, Role.WAITING, Role.STANDBY
"""A member of a divided group has the first of these roles that it has for any share."""


class Availability:
    def __init__(
        self,
        settings: HaSettings,
        drive: Drive,
        offloading: Offloading,
        operator: Operator,
        changed: Callable[[], object],
    ) -> None:
        """`changed` is called when the engine continues as another one."""
        self.settings = settings
        self._drive, self._loop = drive, drive.loop
        self._offloading, self._operator, self._changed = offloading, operator, changed
        self._bell = Bell()
        self._connect = Connector(settings.store)
        self.publisher = Publisher(drive.engine, self._loop)
        operator.publish_by(self.publisher.set)
        self.servings = [
            Serving(
                share,
                settings,
                self._connect,
                self._loop.clock,
                self._bell.ring,
                self._vote,
                self,
            )
            for share in settings.shares or ("",)
        ]
        seal, clock = self._seal("members"), drive.loop.clock
        self._roll = Roll(self._connect, seal, settings.group, self._describe, clock)
        self._votes: Votes | None = None
        self._told_roles = dict.fromkeys(settings.shares or ("",), Role.STANDBY)
        self._outage = Outage()
        self._told_of_roll, self._told_refused = "", 0
        """The last is how many records were refused."""
        # A standby has its claims, too, and drops what they bring: keepalived may set the addresses before the role,
        # and the host must neither answer with resets for flows that it does not know nor forward untranslated packets.
        drive.answers, drive.until = False, -inf

    # -- start and stop

    def start(self) -> None:
        """Be a standby, or active again if this member was the last one. Raises PlaneError."""
        if self.settings.votes is not None:
            try:
                self._votes = Votes(
                    self._seal("votes"), self.settings.name, self.settings.votes, self._consent
                )
            except OSError as error:
                where = "{}:{}".format(*self.settings.votes)
                raise PlaneError(f"nobody can ask at {where}: {error.strerror}") from error
            self._loop.watch(self._votes.fileno(), self._votes.answer)
        self._loop.watch(self._bell.fileno(), self._rung)
        self._loop.every(LOOK_EVERY, self.look)
        self._loop.between(self.publisher.turn)
        for each in self.servings:
            each.start()
        self._roll.start()

    def stop(self) -> None:
        """Give up the role, and let another member have it at once."""
        self._drive.until = -inf
        for each in self.servings:
            each.stop()
        self._roll.close()
        self._connect.close()
        if self._votes is not None:
            self._loop.unwatch(self._votes.fileno())
            self._votes.close()
        self._loop.unwatch(self._bell.fileno())
        self._bell.close()

    # -- what an operator does

    @property
    def role(self) -> Role:
        roles = [each.role for each in self.servings]
        return next(role for role in RANKS if role in roles)

    def role_of(self, share: str | None) -> Role:
        """Return the role for one share, or for the first that there is. Raises KeyError."""
        return self.role if share is None else self._chosen(share)[0].role

    def activate(self, share: str | None = None) -> None:
        """Serve a share, or all of them, as soon as the lease can be had. Raises KeyError."""
        for each in self._chosen(share):
            each.activate()
        self.look()

    def stand_by(self, share: str | None = None) -> None:
        """Serve a share, or all of them, no more. Raises KeyError."""
        for each in self._chosen(share):
            each.stand_by()
        self.look()

    def _chosen(self, share: str | None) -> list[Serving]:
        chosen = [each for each in self.servings if share in (None, each.share)]
        if not chosen:
            raise KeyError(share)
        return chosen

    @property
    def _served(self) -> list[Serving]:
        return [each for each in self.servings if each.replication is not None]

    def fit(self, policy: Policy) -> Policy:
        """Return the policy for what this member serves now."""
        return policy.serving([each.share for each in self._served])

    # -- leases and takeovers

    def look(self) -> None:
        """Follow the leases."""
        for each in self.servings:
            each.look()
        # One that is not sure of one of its leases has lost the store, so it is not sure of any.
        self._drive.until = min((each.until for each in self._served), default=-inf)
        self._offloading.limit()
        self._publish()

    def _rung(self) -> None:
        self._bell.hush()
        self.look()

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
            self._become(self._restored(policy, kept, held.plain))
            # An engine that begins with no flows numbers them anew, too.
            inherited = self._drive.engine.manager.opened or None
        log.info("%d flows go on at this gateway", self._drive.engine.table.count - before)
        if not follower.is_complete:
            hold_ports(self._drive.engine, self._loop.clock())
        belongs = of_share(self._drive.engine, serving.share)
        wait, after = self.settings.wait, self.settings.after
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
                return Engine.from_records(policy, chance, kept, now, True, plain)
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

    def _become(self, engine: Engine) -> None:
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

    # -- other members

    def _seal(self, purpose: str) -> Seal:
        return Seal(self.settings.key, self.settings.group, purpose)

    def _consent(self, share: str) -> bool:
        return all(each.fence.consent() for each in self.servings if each.share == share)

    def _vote(self, generation: int, share: str) -> bool:
        """Ask the other members; called from the thread of a lease."""
        if self._votes is None:
            return False
        self._votes.peers = self._roll.peers
        return self._votes.ask(generation, share)

    def _describe(self) -> Member:
        """Describe this member; also called from a thread."""
        if self._votes is not None:
            self._votes.peers = self._roll.peers
        followers = [each.follower for each in self.servings if each.follower is not None]
        lags = [lag for each in followers if isfinite(lag := each.lag())]
        served = self._served
        return Member(
            self.settings.name,
            self.role.value,
            max(each.generation if each in served else each.fence.known for each in self.servings),
            self.settings.votes,
            max(lags) if lags else None,
            all(each.is_complete for each in followers),
            self._told_refused,
            version("ipmasq"),
            tuple(each.share for each in served if each.share),
        )

    # -- reports

    def _publish(self) -> None:
        now = self._loop.clock()
        for each in self.servings:
            role = each.role
            if role is not self._told_roles[each.share]:
                self._told_roles[each.share] = role
                known = each.fence.known
                self._drive.say(RoleChanged(now, role.value, known, self.trouble, each.share))
        trouble = self._outage.look(self.trouble, now)
        if trouble:
            self._drive.say(StoreFailed(now, trouble, EFFECTS[self.role]))
        elif trouble is not None:
            self._drive.say(StoreRecovered(now))
        self._publish_trouble_of_roll()
        self._publish_refused(now)

    def _publish_trouble_of_roll(self) -> None:
        trouble = self._roll.trouble
        if trouble and trouble != self._told_of_roll and not self.trouble:
            log.error("%s", trouble)
        elif trouble:
            return
        self._told_of_roll = trouble

    def _publish_refused(self, now: float) -> None:
        refused = self.refused
        new = sum(refused.values()) - self._told_refused
        if new > 0:
            self._drive.say(RecordsRefused(now, new, ", ".join(sorted(refused))))
        self._told_refused += new

    @property
    def refused(self) -> Counter[str]:
        """Records that were refused since the start, by why."""
        return sum((each.refused for each in self.servings), Counter[str]())

    @property
    def silenced(self) -> int:
        """Packets that were dropped since this gateway may not forward."""
        return self._drive.silenced

    @property
    def trouble(self) -> str:
        """Why the store cannot be used, in a sentence; empty if it can."""
        return next((each.trouble for each in self.servings if each.trouble), "")

    @property
    def doubt(self) -> str:
        """Why what an operator changes here does not last; empty if it does."""
        if self.role is Role.ACTIVE:
            return ""
        holder = self.servings[0].fence.holder
        which = f", {holder}" if holder else ""
        return f"a standby forgets this when it takes over: change it at the active gateway{which}"

    @property
    def note(self) -> str:
        """What is said of the group where it is said that the gateway runs."""
        if self.role is Role.ACTIVE:
            return f"; active in group {self.settings.group}"
        return f"; a standby of group {self.settings.group}, which forwards nothing"

    def summary(self) -> Mapping[str, Any]:
        """Return what a view of the gateway says of its group, as JSON values."""
        return {
            "name": self.settings.group,
            "role": self.role.value,
            "serves": [each.share for each in self._served if each.share],
            "holder": "" if self.settings.shares else self.servings[0].fence.holder,
            "trouble": self.trouble or self._roll.trouble,
        }

    def status(self) -> Mapping[str, Any]:
        """Return facts about this member, as JSON values."""
        first, divided = self.servings[0].status(), bool(self.settings.shares)
        return {
            "group": self.settings.group,
            "name": self.settings.name,
            "store": self.settings.store.shown,
            "trouble": self.trouble or self._roll.trouble,
            **({"role": self.role.value} if divided else first),
            "unwritten_packets": self.publisher.unwritten,
            "silenced_packets": self._drive.silenced,
        }

    def shares(self) -> Iterator[Mapping[str, Any]]:
        """Yield facts about each share of a divided group."""
        for each in self.servings if self.settings.shares else ():
            yield {"share": each.share, **each.status()}

    def members(self) -> Iterator[Member]:
        yield from self._roll.now()


def _names(policy: Policy) -> list[str]:
    """Return the shares that are served under a policy."""
    return [each.name for each in policy.shares if each.public[0] in policy.public]
