"""The lease of a group in its store: which member may forward, and under which generation.

A lease that is not renewed ends after LIFE. Each one that is acquired has a higher generation than all before
it, so that what a former holder still writes is recognised by its generation (a fencing token). The store's
scripts are atomic, so that two members never hold the lease. It belongs to a process, not to a name: two members to
which one name was given by mistake do not share it.
"""

from __future__ import annotations

from typing import NamedTuple

from ipmasq.continuity.server import Client

LIFE = 0.8
"""Seconds for which the store keeps a lease that is not renewed."""

ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if holder and holder ~= ARGV[1] then return {0, last, holder} end
last = math.max(last, tonumber(ARGV[2])) + 1
redis.call('SET', KEYS[2], string.format('%d', last))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('SET', KEYS[3], ARGV[4])
return {1, last, ARGV[1]}
"""
"""Keys: holder, generation, last holder. Arguments: holder, the highest generation that it knows, life in ms, and the
member of which the holder is a process."""

RENEW = """
local holder = redis.call('GET', KEYS[1])
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local mine = tonumber(ARGV[2])
if last > mine or (holder and holder ~= ARGV[1]) then return {0, last, holder or ''} end
if last < mine then redis.call('SET', KEYS[2], string.format('%d', mine)) end
if redis.call('PEXPIRE', KEYS[1], ARGV[3]) == 0 then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
end
return {1, mine, ARGV[1]}
"""
"""Arguments: holder, its generation, life in ms. A lease that has ended, or that the store has lost, is taken
again unless another member had one since."""

RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '1' then redis.call('DEL', KEYS[2]) end
return redis.call('DEL', KEYS[1])
"""
"""Keys: holder, last holder. Arguments: holder, whether it does not want to resume its role."""


BETWEEN = "\0"
"""Between the name of a member and that of its process."""


class Answer(NamedTuple):
    held: bool
    """Whether the lease is held now."""
    generation: int
    """That of the lease, or the highest one if another member holds it."""
    holder: str
    """The name of the member that holds it; empty if none does."""


class Lease:
    """Calls raise what the library raises."""

    def __init__(self, client: Client, group: str, member: str, process: str = "") -> None:
        """`process` is a name that no other process of this member has."""
        self._client = client
        self._keys = key(group, "holder"), key(group, "generation"), key(group, "last")
        self._member, self._holder = member, f"{member}{BETWEEN}{process}"
        self._life = str(round(LIFE * 1000))

    def acquire(self, known: int) -> Answer:
        """Acquire it unless another member holds it. Its generation will be above `known`."""
        return self._ask(ACQUIRE, known)

    def renew(self, generation: int) -> Answer:
        return self._ask(RENEW, generation)

    def release(self, for_good: bool) -> None:
        """Release it. Unless `for_good`, this member will be the last holder until there is another one."""
        holder, _, last = self._keys
        self._client.eval(RELEASE, 2, holder, last, self._holder, str(int(for_good)))

    def look(self) -> Answer:
        """Ask who holds it."""
        holder, generation = self._client.mget(self._keys[:2])
        return Answer(False, int(generation or 0), _name(holder or b""))

    def was_mine(self) -> bool:
        """Return whether this member was the last one that had it, and has not released it for good."""
        holder, last = self._client.mget(self._keys[0], self._keys[2])
        return last == self._member.encode() and _name(holder or b"") in ("", self._member)

    def _ask(self, script: str, generation: int) -> Answer:
        given = self._holder, str(generation), self._life, self._member
        held, number, holder = self._client.eval(script, 3, *self._keys, *given)
        return Answer(bool(held), int(number), _name(holder))


def _name(holder: bytes) -> str:
    return holder.decode(errors="replace").split(BETWEEN, 1)[0]


def key(group: str, name: str) -> str:
    """Return a key of the group. The braces keep all of them on one node (a hash tag)."""
    return f"ipmasq:{{{group}}}:{name}"
