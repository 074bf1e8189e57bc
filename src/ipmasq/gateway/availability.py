"""The role of this gateway in a group: active, or ready to take over; in a divided group, for each share of it.

Whoever is to be active is decided elsewhere (keepalived, by `ipmasq ha`). Here it takes effect: see `Serving` for leases,
and `Takeovers` for flows. A standby has none, and drops what reaches it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from math import inf, isfinite
from typing import Any

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.members import Member, Roll
from ipmasq.continuity.sentinels import Connector
from ipmasq.continuity.settings import HaSettings
from ipmasq.continuity.votes import Votes
from ipmasq.continuity.worker import Bell
from ipmasq.core.events import RecordsRefused, RoleChanged, StoreFailed, StoreRecovered
from ipmasq.core.policy import Policy
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.offloading import Offloading
from ipmasq.gateway.operator import Operator
from ipmasq.gateway.outage import EFFECTS, Outage
from ipmasq.gateway.serving import Role, Serving
from ipmasq.gateway.takeovers import Takeovers
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
        self._takeovers = Takeovers(
            settings, drive, offloading, operator, changed, lambda: self._served
        )
        self._bell = Bell()
        self._connect = Connector(settings.store)
        self.servings = [
            Serving(
                share,
                settings,
                self._connect,
                self._loop.clock,
                self._bell.ring,
                self._vote,
                self._takeovers,
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
        self._loop.between(self._takeovers.publisher.turn)
        for each in self.servings:
            each.start()
        self._roll.start()

    def stop(self) -> None:
        """Give up the role, and let another member have it at once."""
        self._takeovers.stop()
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
        self._takeovers.limit()
        self._publish()

    def _rung(self) -> None:
        self._bell.hush()
        self.look()

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
            "unwritten_packets": self._takeovers.publisher.unwritten,
            "silenced_packets": self._drive.silenced,
        }

    def shares(self) -> Iterator[Mapping[str, Any]]:
        """Yield facts about each share of a divided group."""
        for each in self.servings if self.settings.shares else ():
            yield {"share": each.share, **each.status()}

    def members(self) -> Iterator[Member]:
        yield from self._roll.now()
