"""What one member may serve of a group: all of it, or one share of a divided one; and whether it does.

A member serves a share while it holds the share's lease (`Fence`). While it does it publishes the flows
(`Replication`), and while it does not it follows what another one publishes (`Follower`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from math import inf
from typing import Any, NamedTuple, Protocol

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.feed import Feed
from ipmasq.continuity.fence import Fence
from ipmasq.continuity.follower import Follower
from ipmasq.continuity.sentinels import Connector
from ipmasq.continuity.settings import HaSettings
from ipmasq.gateway.replication import Replication

FLUSH_TIMEOUT = 0.3
"""Seconds for which a member that gives up a share waits until the store has its last records."""


class Role(StrEnum):
    ACTIVE = "active"
    FENCED = "fenced"
    """It was active, and is not sure that it still may: it forwards nothing."""
    WAITING = "waiting"
    """It is to be active, and does not have the lease yet."""
    STANDBY = "standby"


class Flows(Protocol):
    """The flows of this member."""

    def expect(self, serving: Serving, follower: Follower) -> None:
        """Let the fast path forward what the follower has read, while the rest of a takeover lasts; then have it indexed."""

    def expect_nothing(self, serving: Serving) -> None:
        """Forward no more of it: there is no takeover."""

    def take_over(self, serving: Serving, follower: Follower) -> Replication:
        """Continue with the flows that were followed."""

    def drop(self, serving: Serving) -> None:
        """Forget the flows of a share, which another member has or will have."""


class Counts(NamedTuple):
    """Packets that were held and batches that were dropped since the start."""

    held: int = 0
    """Packets that had to wait for the store."""
    late: int = 0
    """Packets of these that left before it had confirmed."""
    dropped: int = 0
    """Batches that the store did not take."""

    def plus(self, replication: Replication) -> Counts:
        outbox, feed = replication.outbox, replication.feed
        return Counts(self.held + outbox.held, self.late + outbox.late, self.dropped + feed.dropped)


class _Leaving(NamedTuple):
    """The last records of a share that is given up, and until when to wait for them."""

    feed: Feed
    ticket: int
    deadline: float

    def is_done(self, now: float) -> bool:
        waits = self.feed.acknowledged < self.ticket and not self.feed.trouble
        return not waits or now >= self.deadline


class Serving:
    def __init__(
        self,
        share: str,
        settings: HaSettings,
        connect: Connector,
        clock: Callable[[], float],
        ring: Callable[[], object],
        vote: Callable[[int, str], bool],
        flows: Flows,
    ) -> None:
        """`share` is empty if the group is not divided. `ring` is called from threads when `look` has something to
        do, and `vote` to ask the others."""
        self.share = share
        self.part = settings.part(share)
        """Under this name the store has the lease and the records."""
        self.fence = Fence(
            connect, self.part, settings.name, clock, ring, lambda number: vote(number, share)
        )
        self.follower: Follower | None = None
        self.replication: Replication | None = None
        self.generation = 0
        """That of the lease under which this member serves it."""
        self.taken_over = 0.0
        """How long the latest takeover took, in seconds, from when the lease was held."""
        self._before = Counts()
        self._refused = Counter[str]()
        """Those of earlier replications and followers."""
        self._settings, self._connect, self._flows = settings, connect, flows
        self._clock, self._ring = clock, ring
        self._finishing = 0
        """The generation of the lease for which the last records are being read; 0: none is."""
        self._begun = 0.0
        """When that was begun."""
        self._leaving: _Leaving | None = None
        self._wants_again = False

    def start(self) -> None:
        self._follow()
        self.fence.start()

    def stop(self) -> None:
        """Give up the lease, and let another member have it at once."""
        if self.replication is not None:
            self.replication.end()
            self.replication.feed.close()
        self.fence.close()
        if self.follower is not None:
            self.follower.close()

    # -- what an operator does

    def activate(self) -> None:
        """Serve it as soon as the lease can be had."""
        if self._leaving is not None:
            self._wants_again = True  # under a new lease, when this one is released
        else:
            self.fence.want()

    def stand_by(self) -> None:
        """Serve it no more."""
        self._wants_again = False
        if self.replication is not None:
            replication = self._without_replication(self.replication)
            ticket = replication.end()
            self._leaving = _Leaving(replication.feed, ticket, self._clock() + FLUSH_TIMEOUT)
            self._flows.drop(self)
        elif self._leaving is None:
            if self._finishing:
                self._follow_on()
            self.fence.give_up()

    @property
    def until(self) -> float:
        """Until when this member may forward because of it; -inf if it does not serve it."""
        return self.fence.until if self.replication is not None else -inf

    @property
    def role(self) -> Role:
        if self.replication is not None:
            return Role.ACTIVE if self._clock() < self.fence.until else Role.FENCED
        wanted = self._wants_again or (self.fence.wanted and self._leaving is None)
        return Role.WAITING if wanted else Role.STANDBY

    # -- what happens

    def look(self) -> None:
        """Follow the lease."""
        fence = self.fence
        if self.follower is not None:
            fence.known = max(fence.known, self.follower.generation)
            self.follower.hurries = fence.wanted
        if self._leaving is not None:
            self._finish_leaving(self._leaving)
        elif self.replication is not None and fence.generation != self.generation:
            self._lose()
        elif self.replication is not None:
            self.replication.outbox.release(self.replication.feed.acknowledged)
        elif fence.generation and fence.wanted:
            self._take_over_when_ready()
        elif self._finishing:
            self._follow_on()

    def _finish_leaving(self, leaving: _Leaving) -> None:
        if leaving.is_done(self._clock()) and self.fence.wanted:
            leaving.feed.abandon()
            self.fence.give_up()
            self._follow()
        if not self.fence.wanted and not self.fence.generation:
            self._leaving = None
            if self._wants_again:
                self._wants_again = False
                self.fence.want()

    def _lose(self) -> None:
        """Another member has the lease, or may have had it."""
        if self.replication is not None:
            replication = self._without_replication(self.replication)
            replication.end()
            replication.feed.abandon()
        self._flows.drop(self)
        self._follow()

    def _without_replication(self, replication: Replication) -> Replication:
        self._before, self.replication = self._before.plus(replication), None
        return replication

    def _take_over_when_ready(self) -> None:
        follower, generation = self.follower, self.fence.generation
        if follower is None:
            return
        if self._finishing != generation:
            if self._finishing:
                self._flows.expect_nothing(self)  # another member may have served it meanwhile
            self._finishing, self._begun = generation, self._clock()
            follower.finish()
        elif follower.is_read:
            self._flows.expect(self, follower)
        elif follower.is_finished:
            self._stop_following()
            self.generation, self._finishing = generation, 0
            self.replication = self._flows.take_over(self, follower)
            self.taken_over = self._clock() - self._begun

    def _follow_on(self) -> None:
        """The lease has gone, or goes, while the last records were read, and others may come until it is held again."""
        self._finishing = 0
        self._flows.expect_nothing(self)
        if self.follower is not None:
            self.follower.go_on()

    def _follow(self) -> None:
        self._finishing = 0
        self._stop_following()
        self.follower = Follower(self._connect, self._seal(), self.part, self._clock, self._ring)
        self.follower.start()

    def _stop_following(self) -> None:
        follower, self.follower = self.follower, None
        if follower is not None:
            follower.close()
            self._refused.update(follower.refused)

    def feed(self) -> Feed:
        """Return a new way into the store, under the present lease."""
        name, seal = self._settings.name, self._seal()
        return Feed(self._connect, seal, self.part, name, self.generation, self._ring)

    def _seal(self) -> Seal:
        return Seal(self._settings.key, self.part, "records")

    # -- what is told

    @property
    def trouble(self) -> str:
        """Why the store cannot be used, in a sentence; empty if it can."""
        records = self.replication.feed if self.replication is not None else self.follower
        return self.fence.trouble or (records.trouble if records is not None else "")

    @property
    def counts(self) -> Counts:
        return self._before.plus(self.replication) if self.replication else self._before

    @property
    def refused(self) -> Counter[str]:
        """Records that were refused since the start, by why."""
        now = self.follower.refused if self.follower is not None else ()
        return self._refused + Counter[str](now)

    def status(self) -> dict[str, Any]:
        """Return facts, as JSON values."""
        follower, counts = self.follower, self.counts
        lag = follower.lag() if follower is not None else 0.0
        return {
            "role": self.role.value,
            "generation": self.fence.known,
            "holder": self.fence.holder,
            "records": len(follower.held) if follower is not None else 0,
            "complete": follower.is_complete if follower is not None else True,
            "lag": round(lag, 3) if lag != inf else None,
            "refused": dict(self.refused),
            "held_packets": counts.held,
            "late_packets": counts.late,
            "dropped_batches": counts.dropped,
            "takeover": round(self.taken_over, 3),
        }
