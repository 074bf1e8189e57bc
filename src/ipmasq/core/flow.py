"""Flows (RFC 2663, RFC 4787).

A flow has two halves, one per direction. A half says which packets belong to it and how they are rewritten,
as keys (`ipmasq.core.keys`): `match` is the key of its packets as they come in, `rewrite` the key with which
they leave. The ends of a flow are in `ends`.
"""

from __future__ import annotations

from functools import cache
from math import inf
from typing import Any, NamedTuple

from ipmasq.core.ends import End, Endpoints, Ends, endpoints
from ipmasq.core.inspector import Inspector
from ipmasq.core.keys import LENGTHS, destination_of, exchanged, pack, source_address, source_of
from ipmasq.core.mapping import Mapping
from ipmasq.core.origin import UNKNOWN, origin
from ipmasq.core.origin import Kind as OriginKind
from ipmasq.core.plain import Fields
from ipmasq.core.policy import Timeouts
from ipmasq.core.ports import SHARED
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.tcp_states import State, timeout
from ipmasq.core.timers import Bucket
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address
from ipmasq.wire.checksum import difference, opposite
from ipmasq.wire.header import OF_KEY, Family


class Half:
    """One direction of a flow. Whatever can be derived is not stored, since there are two of these per flow."""

    __slots__ = (
        "address_difference",
        "bytes",
        "flow",
        "packets",
        "payload_difference",
        "position",
        "rewrite",
    )

    def __init__(self, flow: Flow, rewrite: bytes, addresses: int, payload: int) -> None:
        """`addresses`, `payload`: what the rewriting adds to the sums of checksums; see below."""
        self.flow = flow
        self.rewrite = rewrite
        self.packets = 0
        self.bytes = 0
        self.position = 0
        """TCP: `end` in the high 32 bits, `acknowledged` in the low ones, as one object instead of two."""
        self.address_difference = SHARED[addresses]
        """What the change of addresses adds to the sum of a checksum; `payload_difference` is that of
        addresses and ports."""
        self.payload_difference = SHARED[payload]

    def advance(self, end: int, acknowledged: int) -> None:
        """TCP: move the position for a segment in window that ends at `end` and acknowledges `acknowledged`.
        Each number moves forward only: a segment that is late or retransmitted does not move it back."""
        position, ahead = self.position, end << 32 | acknowledged
        if (ahead - position) & FAR:
            ahead = _farther(position >> 32, end) << 32 | _farther(
                position & 0xFFFFFFFF, acknowledged
            )
        self.position = ahead

    @property
    def end(self) -> int:
        """TCP: the sequence number after the last byte (or FIN) that was seen, in the sender's numbers."""
        return self.position >> 32

    @end.setter
    def end(self, end: int) -> None:
        self.position = end << 32 | self.acknowledged

    @property
    def acknowledged(self) -> int:
        """TCP: the highest acknowledgment number of this sender, in the other end's numbers."""
        return self.position & 0xFFFFFFFF

    @acknowledged.setter
    def acknowledged(self, acknowledged: int) -> None:
        self.position = self.end << 32 | acknowledged

    @property
    def speaker(self) -> Speaker:
        return Speaker.CLIENT if self is self.flow.original else Speaker.SERVER

    @property
    def twin(self) -> Half:
        """The other direction."""
        return self.flow.reply if self is self.flow.original else self.flow.original

    @property
    def side(self) -> Side:
        """The side where its packets come in."""
        return self.flow.sides[self.speaker]

    @property
    def match(self) -> bytes:
        """The key of its packets as they come in: that of the other half's packets as they leave, with source
        and destination exchanged."""
        return exchanged(self.twin.rewrite)

    @property
    def remote(self) -> Address:
        """The source address of its packets, as their receiver sees it."""
        return source_address(self.rewrite)


class Kind(NamedTuple):
    """What many flows have in common, stored as one object for all of a kind."""

    protocol: int
    sides: tuple[Side, Side]
    """The sides of client and server."""
    reach: int
    """TCP: see `Flow.reach`."""


LATE = 1 << 16
"""Bytes by which a late or retransmitted segment may lie behind its sender's position without moving it. A
segment farther behind moves the position back, or else one forged segment far ahead would fix it there."""


FAR = 0xFFFF0000_FFFF0000
"""Bits of the difference of two `Half.position`s that are 0 if both numbers advanced by less than 64 KiB."""


def _farther(known: int, number: int) -> int:
    return known if (known - number) & 0xFFFFFFFF <= LATE else number


BASE_REACH = 16
"""An unscaled window has at most 2^16 bytes (RFC 9293, 3.1)."""
MOST_REACH = 30
"""A scaled window has at most 2^30 bytes (RFC 7323, 2.3)."""


CONFIRMED = 1 << 20
"""Bytes behind the server's position within which the client's acknowledgment shows that it received an
answer."""


@cache
def kind_of(protocol: int, sides: tuple[Side, Side], reach: int) -> Kind:
    return Kind(protocol, sides, reach)


NAMES = (
    "protocol", "sides", "reach",
    "out", "out_packets", "out_bytes", "out_position",
    "back", "back_packets", "back_bytes", "back_position",
    "opened", "last_seen", "state", "offloadable", "has_mapping", "has_server_mapping",
    "origin", "origin_name", "origin_flag", "master", "due", "inspector", "inspector_due",
)  # fmt: skip
"""What the values of `Flow.to_state` are."""


class Flow:
    __slots__ = (
        "due",
        "id",
        "inspector",
        "kind",
        "last_seen",
        "links",
        "mapping",
        "master",
        "offloadable",
        "opened",
        "origin",
        "original",
        "reply",
        "server_mapping",
        "state",
    )

    def __init__(
        self,
        id_: int,
        protocol: int,
        ends: Ends,
        sides: tuple[Side, Side],
        now: float,
    ) -> None:
        """`sides` are those of client and server. The flow is not in the table yet."""
        client, server = ends
        out, back = pack(client.translated, server.real), pack(server.translated, client.real)
        kind = kind_of(protocol, sides, BASE_REACH if protocol == ipv4.TCP else 0)
        self._begin(id_, kind, out, back, now)

    @classmethod
    def of_keys(cls, id_: int, kind: Kind, out: bytes, back: bytes, opened: float) -> Flow:
        """Return a flow by the keys of both directions as their packets leave."""
        flow = cls.__new__(cls)
        flow._begin(id_, kind, out, back, opened)
        return flow

    def _begin(self, id_: int, kind: Kind, out: bytes, back: bytes, now: float) -> None:
        self.id = id_
        self.kind = kind
        match = exchanged(back)
        addresses, payload = difference(match[:-4], out[:-4]), difference(match, out)
        self.original = Half(self, out, addresses, payload)
        # The reply has the same words, and changes them back.
        self.reply = Half(self, back, opposite(addresses), opposite(payload))
        self.opened = now
        self.last_seen = now
        """When a packet of it was last forwarded, or a data flow of it ended."""
        self.state = State.INIT if kind.protocol == ipv4.TCP else State.ACTIVE
        self.offloadable = False
        """Whether its ordinary packets need no decision: both directions were seen, and no helper inspects
        it."""
        self.due: Bucket[Any] | None = None
        self.mapping: Mapping | None = None
        self.server_mapping: Mapping | None = None
        """The mapping by which the server is reached, if the server is masqueraded."""
        self.origin = UNKNOWN
        self.inspector: Inspector | None = None
        """Inspects its packets. None if no helper does, and no shift has to be remembered."""
        self.master: int | None = None
        """The number of the control flow to which it is linked, which may have ended."""
        self.links = 0
        """Data flows of this control flow that are alive."""

    def to_state(self, now: float, *more: object) -> tuple[object, ...]:
        """Return it as plain values in the order of `NAMES`, and then `more`. A mapping is that of its translated endpoint, if
        it has one; `links` follow from the flows that have it as their `master`."""
        (protocol, sides, reach), due, inspector = self.kind, self.due, self.inspector
        original, reply, origin_ = self.original, self.reply, self.origin
        return (
            protocol,
            sides[0] << 1 | sides[1],
            reach,
            original.rewrite,
            original.packets,
            original.bytes,
            original.position,
            reply.rewrite,
            reply.packets,
            reply.bytes,
            reply.position,
            now - self.opened,
            now - self.last_seen,
            self.state,
            self.offloadable,
            self.mapping is not None,
            self.server_mapping is not None,
            *origin_,
            self.master,
            None if due is None else due.moment - now,
            None if inspector is None else inspector.to_state(now),
            None if inspector is None or inspector.due is None else inspector.due.moment - now,
            *more,
        )

    @classmethod
    def from_state(cls, id_: int, state: Fields, now: float) -> Flow:
        """Return the flow of a state, without mappings and inspector, not in the table yet. Raises StateError."""
        protocol, sides = state.integer("protocol", 1, 255), state.integer("sides", 0, 3)
        out, back = state.blob("out"), state.blob("back")
        if len(out) not in LENGTHS or len(back) != len(out):
            raise state.error("out", "is not of the length of a key, or not of that of the reply")
        both = Side(sides >> 1), Side(sides & 1)
        kind = kind_of(protocol, both, state.integer("reach", 0, MOST_REACH))
        flow = cls.of_keys(id_, kind, out, back, state.past("opened", now))
        for half, name in ((flow.original, "out"), (flow.reply, "back")):
            half.packets, half.bytes = (
                state.integer(f"{name}_packets"),
                state.integer(f"{name}_bytes"),
            )
            half.position = state.integer(f"{name}_position")
        flow.last_seen = state.past("last_seen", now)
        flow.state = state.choice("state", State)
        flow.offloadable = state.boolean("offloadable")
        by = (
            state.choice("origin", OriginKind),
            state.text("origin_name"),
            state.boolean("origin_flag"),
        )
        flow.origin = origin(*by)
        flow.master = state.integer_or_none("master", 1)
        return flow

    def break_cycle(self) -> None:
        """Break the reference cycle between the flow and its halves, so that the memory is freed at once
        without the garbage collector. The flow must not be used after that."""
        del self.original.flow, self.reply.flow

    @property
    def protocol(self) -> int:
        return self.kind.protocol

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.kind.sides

    @property
    def family(self) -> Family:
        return OF_KEY[len(self.original.rewrite)]

    @property
    def reach(self) -> int:
        """TCP: the windows of both ends have at most two to the power of this bytes, so neither number of a
        segment is farther than that from the one before."""
        return self.kind.reach

    @reach.setter
    def reach(self, reach: int) -> None:
        self.kind = kind_of(*self.kind[:2], reach)

    @property
    def client(self) -> End:
        return End(destination_of(self.reply.rewrite), source_of(self.original.rewrite))

    @property
    def server(self) -> End:
        return End(destination_of(self.original.rewrite), source_of(self.reply.rewrite))

    @property
    def ends(self) -> Ends:
        return Ends(self.client, self.server)

    def end(self, speaker: Speaker) -> End:
        return self.client if speaker is Speaker.CLIENT else self.server

    def half(self, speaker: Speaker) -> Half:
        return self.original if speaker is Speaker.CLIENT else self.reply

    @property
    def opened_by(self) -> Side:
        return self.sides[0]

    @property
    def endpoints(self) -> Endpoints:
        return endpoints(self.ends, self.opened_by)

    @property
    def host(self) -> Address:
        """The inside host to which it counts: the one that opened it, else the published one."""
        rewrite = (self.reply if self.opened_by is Side.INSIDE else self.original).rewrite
        return rewrite[(len(rewrite) - 4) // 2 : -4]

    @property
    def payer(self) -> Address:
        """The address that pays for what is kept and done for it: the one that opened it."""
        rewrite = self.reply.rewrite
        return rewrite[(len(rewrite) - 4) // 2 : -4]

    @property
    def is_opening(self) -> bool:
        """TCP: whether the handshake is incomplete, since the client has not acknowledged the server's SYN.
        (Until then its acknowledgment number is taken to be one less; see `tracking`.) An attacker who forges
        the client's acknowledgment does not know the server's number."""
        if self.state is not State.ESTABLISHED:
            return self.state is State.INIT
        if self.reply.bytes > CONFIRMED:
            return False  # nobody sends so much without an acknowledgment (RFC 6928: ten segments)
        ahead = (self.reply.end - self.original.acknowledged) & 0xFFFFFFFF
        return ahead == 1 or ahead > CONFIRMED

    @property
    def is_over(self) -> bool:
        """TCP: whether the connection is over: an end has reset it, or each has acknowledged the other's FIN."""
        if self.state is State.C_S_FIN:
            original, reply = self.original, self.reply
            return original.acknowledged == reply.end and reply.acknowledged == original.end
        return self.state is State.TRANS

    def deadline(self, timeouts: Timeouts) -> float:
        """Return when it will expire, as far as is known now."""
        if self.protocol == ipv4.TCP:
            if self.is_opening:
                return self.last_seen + timeouts.tcp_opening
            if self.links and self.state is State.ESTABLISHED:
                return inf
            idle = timeout(self.state, timeouts)
        elif self.protocol == ipv4.UDP:
            if self.links:
                return inf
            idle = timeouts.of_datagrams(int.from_bytes(self.original.rewrite[-2:], "big"))
        else:
            idle = timeouts.icmp
        return self.last_seen + idle
