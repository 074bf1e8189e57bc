"""The role of this gateway in a group: active, or ready to take over.

Whoever is to be active is decided elsewhere (keepalived, by `ipmasq ha`). Here it takes effect: a gateway forwards only
while it holds the lease of its group (`Fence`), publishes what its engine remembers while it does (`Replication`),
and follows what another one publishes while it does not (`Follower`). A standby has no claims, and drops what reaches
it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib.metadata import version
from math import inf, isfinite
from typing import Any

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.feed import Feed
from ipmasq.continuity.fence import Fence
from ipmasq.continuity.follower import Follower
from ipmasq.continuity.members import Member, Roll
from ipmasq.continuity.server import connector
from ipmasq.continuity.settings import HaSettings
from ipmasq.continuity.votes import Votes
from ipmasq.continuity.worker import Bell
from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.events import RecordsRefused, RoleChanged, StoreFailed, StoreRecovered
from ipmasq.core.plain import StateError
from ipmasq.core.restoring import Kept
from ipmasq.gateway.drive import Drive, chance
from ipmasq.gateway.offloading import Offloading
from ipmasq.gateway.replication import Replication
from ipmasq.planes.plane import PlaneError

log = logging.getLogger("ipmasq")

LOOK_EVERY = 0.1
"""Seconds between two looks at the lease, which is valid for `fence.VALID` after it was renewed."""

LAST_WORDS = 0.3
"""Seconds for which a gateway that gives up its role waits until the store has its last records."""


class Role(StrEnum):
    ACTIVE = "active"
    FENCED = "fenced"
    """It was active, and is not sure that it still may: it forwards nothing."""
    WAITING = "waiting"
    """It is to be active, and does not have the lease yet."""
    STANDBY = "standby"


class Availability:
    def __init__(
        self,
        settings: HaSettings,
        drive: Drive,
        offloading: Offloading,
        changed: Callable[[], object],
    ) -> None:
        """`changed` is called when the engine continues as another one."""
        self.settings = settings
        self.taken_over = 0.0
        """How long the latest takeover took, in seconds, from when the lease was held."""
        self._drive, self._loop = drive, drive.loop
        self._offloading, self._changed = offloading, changed
        self._bell = Bell()
        self._connect = connector(settings.store)
        self._fence = Fence(
            self._connect,
            settings.group,
            settings.name,
            self._loop.clock,
            self._bell.ring,
            self._vote,
        )
        self._roll = Roll(self._connect, self._seal("members"), settings.group, self._describe)
        self._votes: Votes | None = None
        self._follower: Follower | None = None
        self._replication: Replication | None = None
        self._generation = 0
        """That of the lease under which this gateway is active."""
        self._giving_up: tuple[int, float] | None = None
        """The ticket of the last records, and until when to wait for it."""
        self._told_role = Role.STANDBY
        self._told_trouble, self._told_refused = "", 0
        self._begun = 0.0
        # A standby has its claims, too, and drops what they bring: keepalived may set the addresses before the role,
        # and the host must neither answer with resets for flows that it does not know nor forward untranslated packets.
        drive.answers, drive.until = False, -inf

    # -- life

    def start(self) -> None:
        """Be a standby, or active again if this member was the last one. Raises PlaneError."""
        if self.settings.votes is not None:
            try:
                self._votes = Votes(
                    self._seal("votes"),
                    self.settings.name,
                    self.settings.votes,
                    self._fence.consent,
                )
            except OSError as error:
                where = "{}:{}".format(*self.settings.votes)
                raise PlaneError(f"nobody can ask at {where}: {error.strerror}") from error
            self._loop.watch(self._votes.fileno(), self._votes.answer)
        self._loop.watch(self._bell.fileno(), self._rung)
        self._loop.every(LOOK_EVERY, self.look)
        self._loop.between(self._between)
        self._follow()
        self._fence.start()
        self._roll.start()

    def stop(self) -> None:
        """Give up the role, and let another member have it at once."""
        self._drive.until = -inf
        if self._replication is not None:
            self._replication.end()
            self._replication.feed.close()
        self._fence.close()
        self._roll.close()
        if self._follower is not None:
            self._follower.close()
        if self._votes is not None:
            self._loop.unwatch(self._votes.fileno())
            self._votes.close()
        self._loop.unwatch(self._bell.fileno())
        self._bell.close()

    # -- what an operator does

    @property
    def role(self) -> Role:
        if self._replication is not None and self._fence.wanted and self._giving_up is None:
            return Role.ACTIVE if self._loop.clock() < self._fence.until else Role.FENCED
        return Role.WAITING if self._fence.wanted and self._giving_up is None else Role.STANDBY

    def activate(self) -> None:
        """Become active as soon as the lease can be had."""
        self._giving_up = None
        if self._replication is not None and self._drive.until == -inf:
            self._step_back()  # it was about to give up
        self._fence.want()
        self.look()

    def stand_by(self) -> None:
        """Forward no more."""
        self._silence()
        if self._replication is not None and self._giving_up is None:
            self._giving_up = self._replication.end(), self._loop.clock() + LAST_WORDS
        self.look()

    # -- what happens

    def look(self) -> None:
        """Follow the lease."""
        fence, replication = self._fence, self._replication
        if self._follower is not None:
            fence.known = max(fence.known, self._follower.generation)
            self._follower.hurries = fence.wanted
        if self._giving_up is not None:
            self._finish_giving_up(*self._giving_up)
        elif replication is not None and fence.generation != self._generation:
            self._step_back()
        elif replication is not None:
            self._drive.until = fence.until
            self._offloading.limit()
        elif fence.generation and fence.wanted:
            self._take_over_when_ready()
        self._tell()

    def _rung(self) -> None:
        self._bell.hush()
        if self._replication is not None:
            self._replication.outbox.release(self._replication.feed.acknowledged)
        self.look()

    def _between(self, now: float) -> float | None:
        return self._replication.turn(now) if self._replication is not None else None

    def _silence(self) -> None:
        self._drive.until = -inf
        self._offloading.limit()

    def _finish_giving_up(self, ticket: int, deadline: float) -> None:
        """Release the lease when the store has the last records, or does not take them."""
        feed = self._replication.feed if self._replication is not None else None
        waits = feed is not None and feed.acknowledged < ticket and not feed.trouble
        if not waits or self._loop.clock() >= deadline:
            self._giving_up = None
            self._fence.give_up()
            self._step_back()

    def _follow(self) -> None:
        self._follower = Follower(
            self._connect,
            self._seal("records"),
            self.settings.group,
            self._loop.clock,
            self._bell.ring,
        )
        self._follower.start()

    def _take_over_when_ready(self) -> None:
        follower = self._follower
        if follower is None:
            return
        if follower.is_finished:
            self._follower = None
            follower.close()
            self._take_over(follower)
        elif not self._begun:
            self._begun = self._loop.clock()
            follower.finish()

    def _take_over(self, follower: Follower) -> None:
        self._become(self._restored(follower))
        self._generation = self._fence.generation
        name, group = self.settings.name, self.settings.group
        seal, ring = self._seal("records"), self._bell.ring
        feed = Feed(self._connect, seal, group, name, self._generation, ring)
        engine, wait, after = self._drive.engine, self.settings.wait, self.settings.after
        self._replication = Replication(engine, feed, self._loop, wait, after)
        self._replication.begin()
        self._drive.write_ahead = self._replication.write_ahead
        self._drive.until = self._fence.until
        self._answer(True)
        self._offloading.limit()
        self.taken_over, self._begun = self._loop.clock() - self._begun, 0.0

    def _restored(self, follower: Follower) -> Engine:
        """Return an engine from what was followed, or an empty one if that is of no use."""
        now, policy = self._loop.clock(), self._drive.engine.policy
        kept = [
            Kept(kind, name, row.row, row.moment)
            for (kind, name), row in follower.rows.items()
            if kind != Kind.GATEWAY
        ]
        if not any(each.kind == Kind.REST for each in kept):
            log.warning("nobody has left any records: this gateway begins with no flows")
            return Engine(policy, chance, now)
        if not follower.is_complete:
            log.warning("some records are missing, so some flows may not go on")
        try:
            return Engine.from_records(policy, chance, kept, now)
        except StateError as error:
            log.error("the records cannot be used, so no flow goes on: %s", error)
            return Engine(policy, chance, now)

    def _step_back(self) -> None:
        """Be a standby: forget the flows, which another member has or will have."""
        self._silence()
        self._answer(False)
        replication, self._replication = self._replication, None
        self._drive.write_ahead = None
        if replication is not None:
            replication.end()
            replication.feed.abandon()
        self._become(Engine(self._drive.engine.policy, chance, self._loop.clock()))
        self._begun = 0.0
        self._follow()

    def _become(self, engine: Engine) -> None:
        self._offloading.forget()
        self._drive.tell()
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

    def _vote(self, generation: int) -> bool:
        """Ask the other members; called from the thread of the lease."""
        if self._votes is None:
            return False
        self._votes.peers = self._roll.peers
        return self._votes.ask(generation)

    def _describe(self) -> Member:
        """Describe this member; called from a thread."""
        follower, votes = self._follower, self.settings.votes
        if self._votes is not None:
            self._votes.peers = self._roll.peers
        return Member(
            self.settings.name,
            self.role.value,
            self._generation if self._replication else self._fence.known,
            votes,
            follower.lag() if follower is not None and isfinite(follower.lag()) else None,
            follower.is_complete if follower is not None else self._replication is not None,
            self._told_refused,
            version("ipmasq"),
        )

    # -- what is told

    def _tell(self) -> None:
        now, role = self._loop.clock(), self.role
        if role is not self._told_role:
            self._told_role = role
            self._drive.say(RoleChanged(now, role.value, self._fence.known, self.trouble))
        if self.trouble != self._told_trouble:
            self._told_trouble = self.trouble
            self._drive.say(StoreFailed(now, self.trouble) if self.trouble else StoreRecovered(now))
        if self._follower is not None:
            refused = sum(self._follower.refused.values())
            if refused > self._told_refused:
                reasons = ", ".join(sorted(self._follower.refused))
                self._drive.say(RecordsRefused(now, refused - self._told_refused, reasons))
            self._told_refused = refused

    @property
    def trouble(self) -> str:
        """Why the store cannot be used, in a sentence; empty if it can."""
        feed = self._replication.feed.trouble if self._replication is not None else ""
        return self._fence.trouble or feed

    def status(self) -> Mapping[str, Any]:
        """Return facts about this member, as JSON values."""
        follower, replication = self._follower, self._replication
        return {
            "group": self.settings.group,
            "name": self.settings.name,
            "role": self.role.value,
            "generation": self._fence.known,
            "holder": self._fence.holder,
            "store": self.settings.store.shown,
            "trouble": self.trouble,
            "records": len(follower.rows) if follower is not None else 0,
            "complete": follower.is_complete if follower is not None else True,
            "refused": dict(follower.refused) if follower is not None else {},
            "held_packets": replication.outbox.held if replication is not None else 0,
            "late_packets": replication.outbox.late if replication is not None else 0,
            "unwritten_packets": replication.unwritten if replication is not None else 0,
            "dropped_batches": replication.feed.dropped if replication is not None else 0,
            "silenced_packets": self._drive.silenced,
            "takeover": round(self.taken_over, 3),
        }

    def members(self) -> Iterator[Member]:
        yield from self._roll.members
