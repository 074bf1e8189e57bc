"""Two engines to which the same happens: one that goes on, and one that is replaced, again and again, by an engine
from its state.

`Restored` stands where `Stress` expects an engine. All that both answer is compared.
"""

from __future__ import annotations

import json
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from random import Random
from typing import Any

from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.ports import SharedPool
from ipmasq.core.records import FLOW_NAMES, LAGGING
from ipmasq.core.registered import Registered
from ipmasq.core.restoring import Kept
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.wire.packet import Packet
from tests.conformance.packets import TCP
from tests.core.stress import POLICY, UnguardedEngine


def serialised(state: object) -> Any:
    """The same values, after they were text."""

    def encoded(value: object) -> dict[str, str]:
        assert isinstance(value, bytes), value
        return {"bytes": value.hex()}

    def decoded(value: dict[str, Any]) -> Any:
        return bytes.fromhex(value["bytes"]) if value.keys() == {"bytes"} else value

    text = json.dumps(state, default=encoded, allow_nan=False)
    return json.loads(text, object_hook=decoded)


def tidy_pools(engine: Engine) -> None:
    """Free ports are equally likely, whatever their order; a restored engine has them in ascending order, some of them only
    when one is looked for. Nor does it matter whether there is a list of holders."""
    for pools in engine.table.mappings._pools.values():
        for pool in pools:
            if not isinstance(pool, SharedPool):
                pool._all = array("H", sorted(pool._free))
            pool._holders = pool._holders if any(pool._holders) else []


def plain(engine: Engine, now: float) -> Any:
    """All records of an engine, serialised."""
    return serialised(list(engine.records(now)))


def kept(engine: Engine, now: float, later: float | None = None) -> list[Kept]:
    """All records of an engine, after they were text, as if they had been written now, whatever `later` it is."""
    return written(plain(engine, now), later or now)


def written(records: Any, moment: float) -> list[Kept]:
    return [Kept(*each, moment) for each in records]


class Journal:
    """The last record of each thing, from the records of an engine and then from its changes."""

    def __init__(self, engine: Engine, now: float) -> None:
        engine.keep_changes()
        self.last: dict[Any, Kept] = {}
        self._take(plain(engine, now), now)

    def _take(self, records: Any, now: float) -> None:
        for each in written(records, now):
            if each.row is None:
                self.last.pop((each.kind, each.key), None)
            else:
                self.last[each.kind, each.key] = each

    def follow(self, engine: Engine, now: float) -> None:
        """Take the changes. Whatever it does not know of by them, an engine from it does not have."""
        self._take(serialised(engine.changed(now)), now)

    def compare(self, engine: Engine, chance: Random, now: float) -> None:
        """An engine from the journal has the state of the living one, but for what may lag."""
        used = tuple(each.use for each in engine.manager.registered.values())
        policy = replace(engine.policy, helpers=used)
        lagging = [each for each in kept(engine, now) if each.kind in (Kind.REST, Kind.DATAGRAM)]
        state = self.last | {(each.kind, each.key): each for each in lagging}
        made = type(engine).from_records(policy, chance.randrange, state.values(), now)
        assert made.events() == []
        one, other = (up_to_date(each, now) for each in (engine, made))
        assert one == other, difference("state", one, other)


def up_to_date(engine: Engine, now: float) -> Any:
    """All records of an engine without what may lag."""
    found = []
    for kind, key, row in plain(engine, now):
        if kind == Kind.FLOW:
            values = dict(zip(FLOW_NAMES, row, strict=True))
            if values["inspector"] is None and (values["offloadable"] or values["protocol"] != TCP):
                few = {name: min(values[name], 2) for name in ("out_packets", "back_packets")}
                values |= dict.fromkeys(LAGGING)
                values |= {} if values["offloadable"] else few
            for direction in (values["inspector"] or {}).get("rewriter", {}).get("directions", ()):
                if direction["stream"] is not None:
                    direction["stream"]["waiting"] = None
            row = values
        found.append((kind, key, row))
    return found


def restored(engine: Engine, chance: Random, now: float, later: float | None = None) -> Engine:
    """An engine from the serialised state of another one, at another time if that is given."""
    used = tuple(each.use for each in engine.manager.registered.values())
    policy = replace(engine.policy, helpers=used)
    made = type(engine).from_records(
        policy, chance.randrange, kept(engine, now, later), later or now
    )
    made.reserve(engine.table.mappings.host.reserved)
    return made


class Restored:
    def __init__(self, now: float) -> None:
        self.chance = Random(1)
        self.steady: Engine = UnguardedEngine(POLICY, Random(1).randrange, now)
        self.replaced: Engine = UnguardedEngine(POLICY, self.chance.randrange, now)
        self.restarts = 0
        self.journal = Journal(self.steady, now)

    def restart(self, now: float) -> None:
        """Replace the second engine, and compare both."""
        self.events()
        tidy_pools(self.steady)
        self.replaced = restored(self.replaced, self.chance, now)
        assert self.replaced.events() == []
        one, other = plain(self.steady, now), plain(self.replaced, now)
        assert one == other, difference("state", one, other)
        tidy_pools(self.replaced)
        assert not (found := forgotten(self.steady.manager, self.replaced.manager, set())), found
        self.journal.follow(self.steady, now)
        self.journal.compare(self.steady, Random(1), now)
        self.restarts += 1

    def receive(self, packet: Packet, side: Side, now: float) -> Verdict:
        same = Packet(bytearray(packet.data))
        one = self.steady.receive(packet, side, now)
        other = self.replaced.receive(same, side, now)
        assert (one.reason, one.commands) == (other.reason, other.commands)
        assert _data(one.packets) == _data(other.packets)
        return one

    def outgoing(self) -> list[tuple[Packet, Side]]:
        one, other = self.steady.outgoing(), self.replaced.outgoing()
        assert [(bytes(packet.data), side) for packet, side in one] == [
            (bytes(packet.data), side) for packet, side in other
        ]
        return one

    def deadline(self) -> float | None:
        """The steady one may have something to do at an earlier time: to see that there is nothing to do."""
        one, other = self.steady.deadline(), self.replaced.deadline()
        assert other is None or (one is not None and one <= other)
        return one

    def __getattr__(self, name: str) -> Any:
        """Every other method is called on both engines; attributes are those of the steady one."""
        one, other = getattr(self.steady, name), getattr(self.replaced, name)
        return _compared(one, other) if callable(one) else one


def difference(location: str, one: Any, other: Any) -> str | None:
    """Where two states differ first."""
    if type(one) is type(other) and isinstance(one, dict | list) and len(one) == len(other):
        keys = one.keys() if isinstance(one, dict) else range(len(one))
        found = (difference(f"{location}[{key!r}]", one[key], other[key]) for key in keys)
        return next((each for each in found if each), None)
    return None if one == other else f"{location}: {one!r} became {other!r}"


FOLLOWS = {
    "changes": "what a store has not taken is not part of the state",
    "_changes": "likewise",
    "swept": "a store begins anew",
    "due": "timers are compared by their moments",
    "timers": "stale entries are not restored",
    "_timers": "likewise",
    "now": "every packet sets it",
    "_spent_until": "debts that are over are not restored",
    "_all_until": "likewise",
    "peers": "of one peer there are two forms",
    "work": "only differences of it are used",
    "active": "the policy is not part of the state",
    "_active": "likewise",
    "_policy": "likewise",
    "use": "a helper that was unloaded has no code",
    "_helper": "compared by its state, for the same reason",
    "host": "the host's sockets are not part of the state",
    "_numbers": "views walk through a copy, which a successor makes when one does",
    "_framer": "a stream that is no longer inspected has none",
    "framer": "likewise",
}
"""Attributes that may differ after a restart, and why."""


def forgotten(one: Any, other: Any, seen: set[int], location: str = "engine") -> str | None:
    """Where two engines differ first, in any attribute of any of their parts."""
    if id(one) in seen or callable(one):
        return None
    if type(one) is not type(other):
        return f"{location}: {one!r} and {other!r}"
    if isinstance(one, Registered) and not one.is_loaded:
        return f"{location}: is loaded" if other.is_loaded else None  # nobody sees its counters
    names = [*getattr(one, "__dict__", ()), *_slots(type(one))]
    if isinstance(one, dict):
        pairs = [(f"[{key!r}]", value, other.get(key)) for key, value in one.items()]
    elif isinstance(one, list | tuple | deque):
        pairs = [(f"[{n}]", *both) for n, both in enumerate(zip_longest(one, other))]
    elif names:
        pairs = [(f".{n}", getattr(one, n), getattr(other, n)) for n in names if n not in FOLLOWS]
    else:
        return None if one == other else f"{location}: {one!r} and {other!r}"
    seen.add(id(one))
    found = (forgotten(a, b, seen, location + name) for name, a, b in pairs)
    return next((each for each in found if each), None)


def _slots(kind: type) -> list[str]:
    return [name for each in kind.__mro__ for name in getattr(each, "__slots__", ())]


def _data(packets: Any) -> list[bytes]:
    return [bytes(packet.data) for packet in packets]


def _compared(one: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        answers = one(*arguments), other(*arguments)
        first, second = (list(each) if isinstance(each, Iterator) else each for each in answers)
        assert first == second
        return first

    return call
