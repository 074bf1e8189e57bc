"""The members of a group, as each of them describes itself in the store every second."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from ipmasq.continuity.authentic import Entry, RefusedError, Seal
from ipmasq.continuity.lease import key
from ipmasq.continuity.server import Client, Connect
from ipmasq.continuity.worker import Worker

EVERY = 1.0
"""Seconds between two descriptions."""

LOST_AFTER = 3.5
"""Seconds after which a member that says nothing is lost."""

PATIENCE = 1.0
"""Seconds to wait for one answer of the store."""

NOWHERE = "127.0.0.1", 9
"""The discard port, where nobody answers."""

FORGOTTEN_AFTER = 86_400.0
"""Seconds after which it is removed from the store."""


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    role: str
    """`active`, `waiting` or `standby`."""
    generation: int
    """That of its lease, or of the records that it follows."""
    votes: tuple[str, int] | None = None
    """Where it answers questions."""
    lag: float | None = None
    """Of a standby, the seconds since it has last read to the end of the stream."""
    complete: bool = False
    """Of a standby: whether it has all records."""
    refused: int = 0
    """Records that it has refused."""
    version: str = ""
    serves: tuple[str, ...] = ()
    """The shares of a divided group that it serves."""
    age: float = 0.0
    """Seconds since it has described itself."""

    @property
    def is_lost(self) -> bool:
        return self.age > LOST_AFTER

    @property
    def present_role(self) -> str:
        """Its role, or `lost` if it has been silent for long."""
        return "lost" if self.is_lost else self.role


class Members:
    """Calls raise what the library raises."""

    def __init__(self, seal: Seal, group: str) -> None:
        self.has_namesake = False
        """Whether another process describes itself by the name of this member, too."""
        self._seal, self._process, self._described = seal, secrets.randbits(63), False
        self._key = key(group, "members")

    def exchange(self, client: Client, own: Member) -> list[Member]:
        """Describe this member, and return all, this one included. What is not authentic is left out."""
        seconds, micros = client.time()
        now = seconds + micros / 1e6
        packed = msgpack.packb({**_plain(own), "time": now})
        entry = Entry(own.name, own.generation, self._process, packed)
        self.has_namesake = self._described and self._is_of_another(
            client.hget(self._key, own.name)
        )
        self._described = True
        client.hset(self._key, own.name, self._seal.write(entry))
        found = [self._read(data, now) for data in client.hgetall(self._key).values()]
        members = [each for each in found if each is not None]
        if old := [each.name for each in members if each.age > FORGOTTEN_AFTER]:
            client.hdel(self._key, *old)
        return sorted(members, key=lambda each: each.name)

    def leave(self, client: Client, name: str) -> None:
        client.hdel(self._key, name)

    def _is_of_another(self, data: bytes | None) -> bool:
        """Return whether another process has written this since this one has."""
        try:
            return data is not None and self._seal.read(data).number != self._process
        except RefusedError:
            return False

    def _read(self, data: bytes, now: float) -> Member | None:
        try:
            entry = self._seal.read(data)
            values = msgpack.unpackb(entry.payload)
            votes = values.pop("votes")
            written = values.pop("time")
            values["serves"] = tuple(map(str, values.get("serves", ())))
            found = Member(**values, votes=(str(votes[0]), int(votes[1])) if votes else None)
            return replace(found, name=entry.member, age=max(0.0, now - written))
        except (RefusedError, ValueError, KeyError, TypeError, AttributeError):
            return None


def _plain(member: Member) -> Mapping[str, Any]:
    names = (
        "name",
        "role",
        "generation",
        "votes",
        "lag",
        "complete",
        "refused",
        "version",
        "serves",
    )
    return {name: getattr(member, name) for name in names}


class Roll:
    """Describes this member in the store, and knows the others, in a thread of its own."""

    def __init__(
        self,
        connect: Connect,
        seal: Seal,
        group: str,
        describe: Callable[[], Member],
        clock: Callable[[], float],
    ) -> None:
        self.members: list[Member] = []
        """All members, as the store said when it last answered."""
        self._answered = 0.0
        """When that was."""
        self._connect, self._describe, self._clock = connect, describe, clock
        self._members = Members(seal, group)
        self._client: Client | None = None
        self._name = ""
        self._worker = Worker("members", self.step)

    def start(self) -> None:
        self._worker.start()

    def close(self) -> None:
        """Leave the group, if the store answers."""
        self._worker.end(PATIENCE)
        with suppress(Exception):
            if self._client is not None:
                self._members.leave(self._client, self._name)

    @property
    def namesake(self) -> str:
        """A sentence if another member has the name of this one; otherwise empty."""
        if not self._members.has_namesake:
            return ""
        return f"another member of the group has the name {self._name}, too: give each its own ([ha] name)"

    def now(self) -> list[Member]:
        """Return this member, and the others as they are known now: while the store does not answer, nobody hears of them,
        and they become older."""
        own, silent = self._describe(), self._clock() - self._answered
        others = [replace(each, age=each.age + silent) for each in self.members]
        members = [own, *(each for each in others if each.name != own.name)]
        return sorted(members, key=lambda each: each.name)

    @property
    def peers(self) -> dict[str, tuple[str, int]]:
        """Where the other members that were alive answer questions; those that do not answer any are at a place
        where nobody does, since without their consent there is none."""
        others = [each for each in self.members if each.name != self._name and not each.is_lost]
        return {each.name: each.votes or NOWHERE for each in others}

    def step(self) -> float:
        try:
            if self._client is None:
                self._client = self._connect(PATIENCE)
            own = self._describe()
            self._name = own.name
            self.members = self._members.exchange(self._client, own)
            self._answered = self._clock()
        except Exception:  # the lease and the records report what is wrong with the store
            client, self._client = self._client, None
            if client is not None:
                client.close()
        return EVERY
