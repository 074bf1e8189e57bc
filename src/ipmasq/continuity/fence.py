"""The fence: whether this member of a group may forward, and until when.

A member forwards only while it holds the lease of its group, and for no longer than it has last been sure of that:
`until`. So a member that is cut off stops by itself within a second, and nobody has to reach it for that.

A lease is renewed by a majority of the store and the members. Usually that is the store and the holder itself. If
the store's machine answers that the store does not work, nobody else can acquire the lease, so the holder keeps
it. If the store is silent, this member may be cut off, and if the store refuses its password, it may serve others: it
keeps the lease only if all others answer that they will not acquire it meanwhile (`votes`).

A store that has begun anew, or a replica that has become the primary, may not know of a lease that it gave just before. So a member
that comes to such a store acquires nothing there for LIFE: by then whoever had that lease has renewed it there, or has
fallen silent.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from math import inf

from ipmasq.continuity.lease import LIFE, Lease
from ipmasq.continuity.sentinels import Connector
from ipmasq.continuity.server import (
    Client,
    DeniedError,
    StoreError,
    UselessError,
    is_usable_after,
    told,
)
from ipmasq.continuity.worker import Worker

VALID = 0.7
"""Seconds after which a holder no longer relies on the lease: less than LIFE, so that clocks may differ."""

RENEW_EVERY = 0.15
RETRY_EVERY = 0.05
"""Seconds between two attempts to acquire or, if the store does not answer, to renew a lease."""

PATIENCE = 0.3
"""Seconds to wait for one answer of the store."""

LEAP = 16
"""Generations that are left out in a store that may have lost the latest ones, so that none is used twice."""


class Fence:
    def __init__(
        self,
        connect: Connector,
        group: str,
        member: str,
        clock: Callable[[], float],
        changed: Callable[[], object],
        vote: Callable[[int], bool] = lambda generation: False,
    ) -> None:
        """`changed` is called from a thread whenever `generation` or `trouble` has changed. `vote` asks all
        other members for their consent to a lease of this generation; it may take a while."""
        self.until = -inf
        """When this member must stop to forward, on `clock`."""
        self.generation = 0
        """That of the lease that this member holds, or 0."""
        self.known = 0
        """The highest generation that is known."""
        self.holder = ""
        """The member that held the lease when the store was last asked; empty if none did, or if it does not answer."""
        self.trouble = ""
        """Why the store cannot be used, in a sentence."""
        self.wanted = False
        """Whether this member wants the lease."""
        self._connect, self._group, self._member = connect, group, member
        self._process = secrets.token_hex(8)
        self._clock, self._changed, self._vote = clock, changed, vote
        self._client: Client | None = None
        self._lock = threading.Lock()
        self._asks_who_was_last = True
        """Whether the store was not asked yet if this member was active when its process ended."""
        self._for_good = False
        self._barred = -inf
        """Until when the lease must not be acquired, since this member has agreed not to."""
        self._doubted = -inf
        """Until when it must not be, since the store may have lost that of another member."""
        self._run = ""
        """Which process of the store this member has used last."""
        self._leap = 0
        self._worker = Worker("lease", self.step)

    def start(self) -> None:
        self._worker.start()

    def close(self) -> None:
        """Give up the lease, and end."""
        self.give_up(for_good=False)
        self._worker.end(3 * PATIENCE)
        self.step()

    def want(self) -> None:
        """Acquire the lease as soon as possible, and again if it is lost."""
        with self._lock:
            self.wanted = True
        self._worker.wake()

    def give_up(self, for_good: bool = True) -> None:
        """Forward no more; the lease is released as soon as the store answers. Unless `for_good`, this
        member wants it again when its process starts anew, if nobody else has had it since."""
        with self._lock:
            self.wanted = self._asks_who_was_last = False
            self._for_good = for_good
            self.until = -inf
        self._worker.wake()

    def consent(self) -> bool:
        """Agree not to acquire the lease for LIFE. Return False if this member has it or wants it."""
        with self._lock:
            if self.wanted or self.generation:
                return False
            self._barred = self._clock() + LIFE
            return True

    def step(self) -> float:
        """Do what is due. Return the seconds until the next step. Never raises."""
        before = self.generation, self.trouble
        try:
            self._ask_store()
            self.trouble, hurries = "", not self.generation
        except Exception as error:
            problem = told(error)
            self.trouble, hurries = str(problem), not isinstance(problem, DeniedError)
            if not is_usable_after(error):
                self._drop_client()
            self._without_store(problem)
        if (self.generation, self.trouble) != before:
            self._changed()
        return RETRY_EVERY if hurries and self.wanted else RENEW_EVERY

    def _ask_store(self) -> None:
        """Raises what the library raises."""
        client = self._client or self._reach()
        lease = Lease(client, self._group, self._member, self._process)
        now = self._clock()
        sent = now - self._connect.age(client)
        if self._asks_who_was_last:
            resumes, self._asks_who_was_last = lease.was_mine(), False
            with self._lock:
                self.wanted = self.wanted or resumes
        may_acquire = now >= max(self._barred, self._doubted)
        if self.generation and not self.wanted:
            lease.release(self._for_good)
            self.generation, self.holder = 0, ""
        elif self.generation and (may_acquire or now < self.until):
            answer = lease.renew(self.generation)
            self._learn(answer.generation, answer.holder)
            self._hold(answer.held, self.generation, sent)
        elif self.wanted and may_acquire:
            answer = lease.acquire(self.known + self._leap)
            self._leap = 0
            self._learn(answer.generation, answer.holder)
            self._hold(answer.held, answer.generation, sent)
        else:
            answer = lease.look()
            self._learn(answer.generation, answer.holder)

    def _reach(self) -> Client:
        """Connect. Nothing is acquired for a while at a store that may have lost a lease. Raises what the library raises."""
        self._client = client = self._connect(PATIENCE)
        run = str(client.info("server").get("run_id", ""))
        if not self._connect.is_alone or self._run not in ("", run):
            self._doubted, self._leap = self._clock() + LIFE, LEAP
        self._run = run
        return client

    def _without_store(self, problem: StoreError) -> None:
        """Keep the lease, or acquire it, if the others consent."""
        sent, generation = self._clock(), self.generation
        if not generation:
            self.holder = ""
        if not self.wanted:
            self.generation = 0  # the store forgets the lease by itself
        elif generation:
            serves_nobody = self._connect.is_alone and isinstance(problem, UselessError)
            if serves_nobody or self._vote(generation):
                self._hold(True, generation, sent)
        elif sent >= self._barred and self._vote(self.known + 1):
            self.known += 1
            self._hold(True, self.known, sent)

    def _hold(self, held: bool, generation: int, since: float) -> None:
        with self._lock:
            self.generation = generation if held else 0
            self.until = since + VALID if held and self.wanted else -inf

    def _learn(self, generation: int, holder: str) -> None:
        self.known, self.holder = max(self.known, generation), holder

    def _drop_client(self) -> None:
        self._run = self._run or "not reached yet"
        client, self._client = self._client, None
        if client is not None:
            client.close()
