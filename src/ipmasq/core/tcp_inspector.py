"""The inspector of a TCP flow: a rewriter for its segments, with a helper as the listener."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, Protocol

from ipmasq.core.attachment import Attachment, HelperServices
from ipmasq.core.budget import Account, Memory, Rate
from ipmasq.core.cutting import Sent
from ipmasq.core.flow import Flow, Half
from ipmasq.core.inspector import BLOCKED, CORRUPT, NO_ROOM, NO_WORK, OUTDATED, Inspected, Inspector
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.reasons import Reason
from ipmasq.core.registered import Registered
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.stream import StreamFullError
from ipmasq.core.tcp_rewriter import OutdatedError, TcpRewriter
from ipmasq.core.tcp_states import State
from ipmasq.core.timers import Bucket
from ipmasq.core.translate import compose, is_intact, rebuild, renumber, translate_packet
from ipmasq.core.views import NO_SHIFT, Shift
from ipmasq.core.window import is_in_window
from ipmasq.wire import tcp
from ipmasq.wire.header import Header
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import FIN, Segment

LINES_AT_ONCE = 128
"""The most messages that helpers inspect because of one segment: about ten milliseconds, if all are
expensive."""

COST = 4096
"""Bytes that an inspected connection takes besides what is kept of its streams."""


class TooLateError(Exception):
    """A helper that must see a connection from its first byte on cannot begin in the middle of it."""


class Budget(Protocol):
    """The budget of inspection."""

    memory: Memory
    work: Rate


class TcpInspector(Inspector):
    def __init__(
        self,
        services: HelperServices,
        budget: Budget,
        flow: Flow,
        attachment: Attachment,
        rewriter: TcpRewriter,
    ) -> None:
        """`attachment` is the helper that is attached, or was last; see `begin`."""
        self.flow_id = flow.id
        self.is_inspecting = True
        self.is_awaited = False
        self.due: Bucket[Any] | None = None
        self._services = services
        self._flow = flow
        self._payer = flow.payer
        self._work = budget.work
        self._attachment = attachment
        self.rewriter = rewriter

    @classmethod
    def begin(
        cls,
        services: HelperServices,
        budget: Budget,
        flow: Flow,
        registered: Registered,
        limit: int,
    ) -> TcpInspector:
        """Begin to inspect a flow with a new instance of a helper. `limit` is the number of bytes kept for each
        stream. Raises TooLateError, and whatever the helper's constructor raises."""
        attachment = Attachment(services, flow, registered)
        framer = attachment.framer()
        if framer.overlap is None and flow.original.packets and flow.state is not State.INIT:
            raise TooLateError
        rewriter = TcpRewriter(attachment, framer, limit, _account(budget, flow))
        made = cls(services, budget, flow, attachment, rewriter)
        made._join()
        return made

    def _join(self) -> None:
        """Begin at the connection's present position. Bytes in flight pass without inspection: the listener
        has not acknowledged them, but they left before inspection began."""
        flow, rewriter = self._flow, self.rewriter
        if not flow.original.packets:
            return  # its SYN is being handled
        if flow.state is State.INIT:
            rewriter.start(Speaker.CLIENT, flow.original.end, at_start=True)
            return
        for half in (flow.original, flow.reply):
            first = half.twin.acknowledged
            unseen = max(0, tcp.distance(first, half.end))
            rewriter.start(half.speaker, first, at_start=False, unseen=unseen)

    # -- segments

    def receive(
        self,
        packet: Packet,
        header: Header,
        segment: Segment | None,
        speaker: Speaker,
        ttl_delta: int,
        now: float,
    ) -> Inspected:
        assert segment is not None
        if self._attachment.blocked:
            return BLOCKED
        # The packets that leave may get a new checksum, which must not hide that the packet came in corrupt.
        if not is_intact(packet, header):
            return CORRUPT
        half = self._flow.half(speaker)
        payload = bytes(packet.data[header.length + segment.length : header.total])
        acknowledgment = self.rewriter.acknowledged(speaker, segment)
        if not is_in_window(half, segment, len(payload), acknowledgment, self.rewriter.reach):
            sent = [self.rewriter.renumbered(speaker, segment)]
            packets = _packets(packet, header, half, ttl_delta, segment, payload, sent)
            return Inspected(
                Reason.TRANSLATED,
                packets,
                deadline=self.deadline,
                is_released=self.rewriter.listener is None,
            )
        allowed = self._as_work_allows(speaker, segment, payload, now)
        if allowed is None:
            return NO_WORK
        taken, data = allowed
        try:
            sent = self._handle(speaker, taken, data, packet.segment, now)
        except StreamFullError:
            return NO_ROOM
        except OutdatedError:
            return OUTDATED
        if self._attachment.blocked:
            return BLOCKED
        if taken.flags & FIN and not self.rewriter.ended(speaker):
            taken = taken._replace(flags=taken.flags & ~FIN)
        packets = _packets(packet, header, half, ttl_delta, segment, payload, sent)
        held = data and not any(each.payload for each in sent if each.speaker is speaker)
        reason = Reason.HELD if held else Reason.TRANSLATED
        deadline = self.rewriter.deadline
        released = self.rewriter.listener is None
        return Inspected(reason, packets, taken, len(data), acknowledgment, deadline, released)

    def _handle(
        self, speaker: Speaker, segment: Segment, payload: bytes, size: int, now: float
    ) -> list[Sent]:
        """Return what to send for a segment in window; its host pays for the helper's work. Raises
        StreamFullError and OutdatedError."""
        before = self._attachment.work
        sent = self.rewriter.receive(speaker, segment, payload, size, now)
        spent = self._attachment.work - before
        if spent:
            self._work.spend(self._payer, spent, now)
        return sent

    def _as_work_allows(
        self, speaker: Speaker, segment: Segment, payload: bytes, now: float
    ) -> tuple[Segment, bytes] | None:
        """Return as many of a segment's messages as its host's budget allows, as if the rest had been lost
        and will be retransmitted. Return None if there is none. Messages that arrive early are inspected
        together with those that fill the gap, so they may be half as many as may be inspected together."""
        stream = self.rewriter.directions[speaker].stream
        if not payload or stream is None or stream.transparent is not None:
            return segment, payload
        count, waiting = stream.framer.count(payload), stream.waiting.messages
        if not count and not waiting:
            return segment, payload
        most = min(self._work.allowance(self._payer, now), LINES_AT_ONCE)
        if stream.position(segment.sequence) > stream.received:
            most //= 2
        most -= waiting
        if count <= most:
            return segment, payload
        end = stream.framer.end_of(payload, most)
        return (segment._replace(flags=segment.flags & ~FIN), payload[:end]) if end else None

    # -- time

    @property
    def deadline(self) -> float:
        return inf if self._attachment.blocked else self.rewriter.deadline

    def expire(self, now: float) -> list[tuple[Packet, Side]]:
        if self._attachment.blocked:
            return []
        return [self._composed(sent) for sent in self.rewriter.expire(now)]

    def _composed(self, sent: Sent) -> tuple[Packet, Side]:
        half = self._flow.half(sent.speaker)
        return compose(half, tcp.write(sent.segment, sent.payload)), half.side

    # -- attaching and releasing the helper

    @property
    def registered(self) -> Registered:
        return self._attachment.registered

    @property
    def is_plain(self) -> bool:
        return self.rewriter.is_plain

    def attach(self, registered: Registered) -> bool:
        attachment = Attachment(self._services, self._flow, registered)
        framer = attachment.framer()
        if framer.overlap is None:
            return False
        if not self.rewriter.retain(attachment, framer):
            self.is_awaited = True  # bytes are in flight
            return False
        self._attachment = attachment
        self.is_inspecting, self.is_awaited = True, False
        return True

    def renew(self) -> None:
        self._attachment.renew()

    def release(self) -> None:
        self.is_inspecting = False
        self.rewriter.release()

    def doubt(self) -> None:
        self.rewriter.is_doubtful = True

    def close(self) -> None:
        self.rewriter.close()

    # -- plain values

    def to_state(self, now: float) -> Plain:
        return {
            "is_inspecting": self.is_inspecting,
            "is_awaited": self.is_awaited,
            "attachment": self._attachment.to_state(),
            "rewriter": self.rewriter.to_state(now),
        }

    @classmethod
    def from_state(
        cls,
        services: HelperServices,
        budget: Budget,
        flow: Flow,
        helpers: dict[str, Registered],
        state: Fields,
        now: float,
    ) -> TcpInspector:
        """Return the inspector of a state, with one of these helpers. Raises StateError."""
        attachment = Attachment.from_state(services, flow, helpers, state.fields("attachment"))
        framer, account = attachment.framer(), _account(budget, flow)
        rewriter = TcpRewriter.from_state(
            state.fields("rewriter"), now, attachment, framer, account
        )
        made = cls(services, budget, flow, attachment, rewriter)
        made.is_inspecting = state.boolean("is_inspecting")
        made.is_awaited = state.boolean("is_awaited")
        return made

    @property
    def lacks_helper(self) -> bool:
        return self._attachment.lacks_helper and not self._attachment.blocked

    # -- state

    def shift(self, speaker: Speaker) -> Shift:
        stream = self.rewriter.directions[speaker].stream
        return stream.shift if stream else NO_SHIFT

    def began_at(self, first: int) -> bool:
        return self.rewriter.began_at(first)

    def open(self, syn: Segment, now: float) -> None:
        self.rewriter.receive(Speaker.CLIENT, syn, b"", now=now)

    def unshift(self, speaker: Speaker, sequence: int) -> int:
        stream = self.rewriter.directions[speaker].stream
        if stream is None:
            return sequence
        return stream.sequence(stream.original(stream.edited_position(sequence)))

    def limit_path(self, mtu: int) -> None:
        self.rewriter.path_mtu = min(self.rewriter.path_mtu or mtu, mtu)

    def check(self) -> int:
        kept = 0
        for stream in self.rewriter.streams:
            if stream is not None:
                stream.check()
                assert stream.account.host == self._payer
                kept += stream.account.kept
        return kept


def _account(budget: Budget, flow: Flow) -> Callable[[], Account]:
    """Return what makes the account that pays for a stream of a flow."""
    return partial(Account, budget.memory, flow.payer)


def _packets(
    packet: Packet,
    header: Header,
    half: Half,
    ttl_delta: int,
    segment: Segment,
    payload: bytes,
    sent: list[Sent],
) -> list[Packet]:
    """Return the packets that carry what is sent because of `packet`, which is `segment` with `payload`. If
    only numbers change, this is the same packet, rewritten in place."""
    speaker = half.speaker
    if len(sent) == 1 and not packet.partial and not packet.segment:
        _, after, data = sent[0]
        if sent[0].speaker is speaker and data == payload and after.options == segment.options:
            translate_packet(packet, header, half, ttl_delta)
            if after is not segment:
                renumber(packet.data, header.length, segment, after)
            return [packet]
    own = [each for each in sent if each.speaker is speaker]
    return [
        *(
            rebuild(packet, header, half, ttl_delta, tcp.write(each.segment, each.payload), nth)
            for nth, each in enumerate(own)
        ),
        *(
            compose(half.twin, tcp.write(each.segment), packet.note)
            for each in sent
            if each.speaker is not speaker
        ),
    ]
