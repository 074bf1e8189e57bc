"""Expectations: flows that an announcement has made known and that have not arrived yet.

One rule covers all cases (DESIGN, section 1). The speaker of the announcement is masqueraded, or it is not:

* masqueraded: the flow will come to a public endpoint, which is opened for it, and the announcement is
  rewritten to name that endpoint;
* not masqueraded: the flow will leave towards the announced endpoint, and nothing has to be rewritten.

In both cases the flow that arrives is linked to the control flow. It is admitted once, from the address of
the other end of the control flow, and only for a limited time.
"""

from __future__ import annotations

from typing import Any

from ipmasq.core.changes import Changes, Kind
from ipmasq.core.flow import Flow
from ipmasq.core.helper import ANYWHERE
from ipmasq.core.keys import endpoint_key
from ipmasq.core.mapping import Mapping
from ipmasq.core.plain import Fields, Plain, left
from ipmasq.core.policy import HelperUse
from ipmasq.core.reasons import Reason
from ipmasq.core.speaker import Speaker
from ipmasq.core.table import Table
from ipmasq.core.timers import Bucket
from ipmasq.core.views import ExpectationView
from ipmasq.wire.addresses import Address, Endpoint

LEAST_PORT = 1024
"""Announcements of system ports are refused (RFC 2577, 3)."""

NOT_ITS_OWN = "address is not the speaker's own"
SYSTEM_PORT = "port below 1024"
HOST_HAS_TOO_MANY = "host has too many expectations"
NO_PORT = "no public port is free"
HOST_HAS_TOO_MANY_PORTS = "host has too many public ports"


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    """Why an announcement is refused; the message is one of the phrases above."""


class Expectation:
    __slots__ = (
        "announced",
        "due",
        "flow",
        "helper",
        "is_missed",
        "key",
        "mapping",
        "number",
        "opener",
        "payer",
        "peer",
        "protocol",
        "public",
        "speaker",
        "target",
        "until",
    )

    def __init__(
        self,
        flow: Flow,
        helper: str,
        speaker: Speaker,
        protocol: int,
        announced: Endpoint,
        target: Endpoint,
        public: Endpoint,
        until: float,
    ) -> None:
        me, other = flow.end(speaker), flow.end(speaker.other)
        self.flow = flow
        self.helper = helper
        self.speaker = speaker
        self.protocol = protocol
        self.announced = announced
        self.target = target
        """The real destination of the expected flow."""
        self.public = public
        """The destination as the opener of the flow sees it."""
        self.peer: Address = other.translated.address if me.is_masqueraded else other.real.address
        """The only address that may open the flow, as it appears where the flow comes in."""
        self.opener: Address = other.real.address
        """The real address of the host that may open the flow."""
        self.payer = flow.payer
        """The address to which the expectation counts."""
        self.key = expectation_key(protocol, public, self.peer)
        self.mapping: Mapping | None = None
        self.is_missed = False
        """Whether another host than the expected one has tried to open the flow."""
        self.until = until
        self.number = 0
        """The higher, the newer; set when it is added."""
        self.due: Bucket[Any] | None = None

    def to_state(self, now: float) -> Plain:
        """Return it as plain values. Its mapping is that of its public endpoint, if it has one."""
        return {
            "flow": self.flow.id,
            "helper": self.helper,
            "speaker": self.speaker,
            "protocol": self.protocol,
            "announced": list(self.announced),
            "target": list(self.target),
            "public": list(self.public),
            "until": left(self.until, now),
            "has_mapping": self.mapping is not None,
            "is_missed": self.is_missed,
            "due": None if self.due is None else self.due.moment - now,
        }

    @classmethod
    def from_state(cls, state: Fields, now: float, table: Table) -> Expectation:
        """Return the expectation of a state, which is in no index yet. Raises StateError."""
        flow = table.flow(state.integer("flow"))
        if flow is None:
            raise state.error("flow", "there is no such flow")
        made = cls(
            flow,
            state.text("helper"),
            state.choice("speaker", Speaker),
            state.integer("protocol", 0, 255),
            state.endpoint("announced"),
            state.endpoint("target"),
            state.endpoint("public"),
            state.moment_or_never("until", now),
        )
        # An earlier version has no record of it.
        made.is_missed = "is_missed" in state.names() and state.boolean("is_missed")
        if state.boolean("has_mapping"):
            made.mapping = table.mappings.at(made.protocol, made.public)
            if made.mapping is None:
                raise state.error("has_mapping", f"{made.public} has no mapping")
        return made

    def view(self) -> ExpectationView:
        return ExpectationView(
            self.flow.id,
            self.helper,
            self.protocol,
            self.announced,
            self.public,
            self.peer,
            self.until,
        )


def expectation_key(protocol: int, public: Endpoint, peer: Address) -> bytes:
    return endpoint_key(protocol, public) + peer


class ExpectationTable:
    """All outstanding expectations."""

    def __init__(self, table: Table, changes: Changes | None = None) -> None:
        self._table = table
        self._changes = changes or Changes()
        self.added = 0
        """The number of the newest one."""
        self._by_key: dict[bytes, Expectation] = {}
        self._latest: dict[bytes, Expectation] = {}
        """The latest one by protocol and public endpoint, whoever is expected there."""
        self.numbered: dict[int, Expectation] = {}
        self._by_flow: dict[int, list[Expectation]] = {}
        self._payers: dict[Address, int] = {}
        """Number of expectations by the address that opened the control flow."""

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(list(self._by_key.values()))

    def find(self, protocol: int, public: Endpoint, peer: Address) -> Expectation | None:
        """Return the expectation that admits `peer` at `public`."""
        return self._by_key.get(expectation_key(protocol, public, peer))

    def miss(self, protocol: int, public: Endpoint) -> Expectation | None:
        """Return the latest expectation at `public`, whoever is expected, the first time that it is missed."""
        missed = self._latest.get(endpoint_key(protocol, public))
        if missed is None or missed.is_missed:
            return None
        missed.is_missed = True
        self._changes.other(Kind.EXPECTATION, missed.number)
        return missed

    def of(self, flow: Flow) -> tuple[Expectation, ...]:
        """Return the expectations of a control flow, oldest first."""
        return tuple(self._by_flow.get(flow.id, ()))

    def make(
        self,
        flow: Flow,
        use: HelperUse,
        speaker: Speaker,
        announced: Endpoint,
        protocol: int,
        now: float,
    ) -> Expectation:
        """Make an expectation. Raises Refusal. The caller must remove the ones that it replaces
        (`replaced_by`)."""
        me = flow.end(speaker)
        if announced.address not in (me.real.address, me.translated.address, ANYWHERE):
            raise Refusal(NOT_ITS_OWN)
        if announced.port < LEAST_PORT:
            raise Refusal(SYSTEM_PORT)
        target = public = Endpoint(me.real.address, announced.port)
        mapping = None
        if me.is_masqueraded:
            target, public, mapping = self._resolve(flow, speaker, announced, protocol)
        if announced.address == ANYWHERE:
            announced = Endpoint(me.real.address, announced.port)
        expectation = Expectation(
            flow,
            use.name,
            speaker,
            protocol,
            announced,
            target,
            public,
            now + use.expectation_life,
        )
        if self._payers.get(expectation.payer, 0) >= use.expectations_per_host:
            if mapping:
                self._table.mappings.drop_unused(mapping)
            raise Refusal(HOST_HAS_TOO_MANY)
        expectation.mapping = mapping
        return expectation

    def _resolve(
        self, flow: Flow, speaker: Speaker, announced: Endpoint, protocol: int
    ) -> tuple[Endpoint, Endpoint, Mapping | None]:
        """Return, for a masqueraded speaker, the real endpoint that it announced, the public endpoint that
        the other end of `flow` will use for it, and the mapping, if one is needed."""
        me = flow.end(speaker)
        endpoint = Endpoint(me.translated.address, announced.port)
        if announced.address == me.translated.address:
            led = self._leads_to(me.real.address, endpoint, protocol)
            if led is not None:
                return led
        target = Endpoint(me.real.address, announced.port)
        if target == me.real and protocol == flow.protocol:
            own = flow.mapping if speaker is Speaker.CLIENT else flow.server_mapping
            return target, me.translated, own
        for forward in self._table.policy.forwards:
            published = forward.outward(protocol, target, me.translated.address)
            if published is not None:
                return target, published, None
        if announced.address == ANYWHERE:
            led = self._leads_to(me.real.address, endpoint, protocol)
            if led is not None:
                return led
        other = flow.end(speaker.other)
        mapping = self._table.mappings.map(
            protocol, target, other.translated, announced_at=me.translated.address
        )
        if isinstance(mapping, Reason):
            raise Refusal(HOST_HAS_TOO_MANY_PORTS if mapping is Reason.PORT_LIMIT else NO_PORT)
        return target, mapping.public, mapping

    def _leads_to(
        self, host: Address, endpoint: Endpoint, protocol: int
    ) -> tuple[Endpoint, Endpoint, Mapping | None] | None:
        """Return the real and the public endpoint if a public endpoint already leads to this host by a
        forward or a mapping, else None."""
        for forward in self._table.policy.forwards:
            if forward.inside == host and forward.covers(protocol, endpoint):
                return forward.inward(endpoint.port), endpoint, None
        mapping = self._table.mappings.at(protocol, endpoint)
        if mapping is not None and not mapping.shared and mapping.inside.address == host:
            return mapping.inside, endpoint, mapping
        return None

    def replaced_by(self, new: Expectation, most: int) -> list[Expectation]:
        """Return what must be removed before `new` is added: an expectation at the same endpoint, and the
        oldest ones of its flow if that has reached its limit (RFC 6384, 9: each announcement counts)."""
        same = self._by_key.get(new.key)
        mine = [e for e in self._by_flow.get(new.flow.id, ()) if e is not same]
        surplus = mine[: max(0, len(mine) - most + 1)]
        return surplus + ([same] if same else [])

    def add(self, expectation: Expectation) -> None:
        self.added += 1
        expectation.number = self.added
        self._changes.other(Kind.EXPECTATION, expectation.number)
        self._enter(expectation)

    def _enter(self, expectation: Expectation) -> None:
        self.numbered[expectation.number] = expectation
        self._by_key[expectation.key] = expectation
        self._latest[endpoint_key(expectation.protocol, expectation.public)] = expectation
        self._by_flow.setdefault(expectation.flow.id, []).append(expectation)
        self._payers[expectation.payer] = self._payers.get(expectation.payer, 0) + 1
        if expectation.mapping:
            expectation.mapping.expectations += 1

    def remove(self, expectation: Expectation) -> None:
        """Remove an expectation, and its mapping if nothing else uses that."""
        self._changes.other(Kind.EXPECTATION, expectation.number)
        del self._by_key[expectation.key], self.numbered[expectation.number]
        key = endpoint_key(expectation.protocol, expectation.public)
        if self._latest.get(key) is expectation:
            del self._latest[key]
        mine = self._by_flow[expectation.flow.id]
        mine.remove(expectation)
        if not mine:
            del self._by_flow[expectation.flow.id]
        self._payers[expectation.payer] -= 1
        if not self._payers[expectation.payer]:
            del self._payers[expectation.payer]
        if expectation.mapping:
            expectation.mapping.expectations -= 1
            self._table.mappings.drop_unused(expectation.mapping)

    def restore(self, number: int, state: Fields, now: float) -> Expectation:
        """Enter an expectation of a state; they are restored in the order of their numbers. Raises StateError."""
        made = Expectation.from_state(state, now, self._table)
        if made.key in self._by_key:
            raise state.error("public", f"{made.public} is expected by another")
        made.number, self.added = number, max(number, self.added)
        self._enter(made)
        return made

    def check(self) -> None:
        """Raise AssertionError unless all indexes and counts agree."""
        listed = [e for mine in self._by_flow.values() for e in mine]
        assert len(listed) == len(self._by_key) == len(self.numbered)
        assert all(self._by_key.get(each.key) is each for each in self._latest.values())
        payers: dict[Address, int] = {}
        mappings: dict[int, int] = {}
        for each in listed:
            assert self._by_key[each.key] is each
            assert each.flow.id in self._table.flows
            payers[each.payer] = payers.get(each.payer, 0) + 1
            if each.mapping:
                assert self._table.mappings.at(each.protocol, each.public) is each.mapping
                mappings[id(each.mapping)] = mappings.get(id(each.mapping), 0) + 1
        assert payers == self._payers
        for mapping in self._table.mappings.live():
            assert mapping.expectations == mappings.get(id(mapping), 0)
