"""The inspector of a UDP flow: each datagram is a message to a helper.

A helper reads whole datagrams and may rewrite, announce, refuse and stop as in a stream. Nothing is withheld or
remembered, and a retransmitted datagram is read again, so that its announcement renews the expectation.
"""

from __future__ import annotations

from typing import Any, Protocol

from ipmasq.core.attachment import Attachment, HelperServices, edited
from ipmasq.core.budget import Rate
from ipmasq.core.flow import Flow, Half
from ipmasq.core.framing import Message
from ipmasq.core.inspector import BLOCKED, CORRUPT, NO_WORK, Inspected, Inspector
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.reasons import Reason
from ipmasq.core.registered import Registered
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.timers import Bucket
from ipmasq.core.translate import is_intact, rebuild, translate_packet
from ipmasq.wire import udp
from ipmasq.wire.header import Header
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import Segment

LARGEST = 0xFFFF
"""The most bytes of a packet (RFC 791, 3.1)."""

FROM_OUTSIDE = bytes(4)
"""Outside hosts, which together have the share of one host of the work that is done: anybody can forge the source of
a datagram, so a share for each source would limit nothing."""


class Budget(Protocol):
    """The budget of inspection."""

    work: Rate


class DatagramInspector(Inspector):
    def __init__(
        self, services: HelperServices, budget: Budget, flow: Flow, attachment: Attachment
    ) -> None:
        self.flow_id = flow.id
        self.is_inspecting = True
        self.is_awaited = False
        self.due: Bucket[Any] | None = None
        self._services = services
        self._flow = flow
        self._payer = flow.payer if flow.opened_by is Side.INSIDE else FROM_OUTSIDE
        self._work = budget.work
        self._attachment = attachment
        self._stopped = False
        self._sent = dict.fromkeys(Speaker, 0)
        """Payload bytes of the datagrams that were read."""

    @classmethod
    def begin(
        cls, services: HelperServices, budget: Budget, flow: Flow, registered: Registered
    ) -> DatagramInspector:
        """Begin to inspect a flow with a new instance of a helper. Raises whatever the helper's constructor raises."""
        return cls(services, budget, flow, Attachment(services, flow, registered))

    # -- datagrams

    def receive(
        self,
        packet: Packet,
        header: Header,
        segment: Segment | None,
        speaker: Speaker,
        ttl_delta: int,
        now: float,
    ) -> Inspected:
        if self._attachment.blocked:
            return BLOCKED
        # The packets that leave may get a new checksum, which must not hide that the packet came in corrupt.
        if not is_intact(packet, header):
            return CORRUPT
        half = self._flow.half(speaker)
        before = udp.payloads(packet.data, header, packet.segment)
        if self.is_inspecting and self._work.allowance(self._payer, now) < len(before):
            return NO_WORK
        after = [self._handle(speaker, text, now) for text in before]
        if self._attachment.blocked:
            return BLOCKED
        released = self._stopped or not self.is_inspecting
        if after == before:
            translate_packet(packet, header, half, ttl_delta)
            return Inspected(Reason.TRANSLATED, (packet,), is_released=released)
        if header.length + udp.HEADER + max(map(len, after)) > LARGEST:
            return BLOCKED
        packets = [
            _rebuilt(packet, header, half, ttl_delta, text, nth) for nth, text in enumerate(after)
        ]
        return Inspected(Reason.TRANSLATED, packets, is_released=released)

    def _handle(self, speaker: Speaker, text: bytes, now: float) -> bytes:
        """Return what is to be sent in place of a datagram's payload; its host pays for the helper's work."""
        attachment, position = self._attachment, self._sent[speaker]
        self._sent[speaker] += len(text)
        if self._stopped or not self.is_inspecting or len(text) > attachment.longest:
            return text
        before = attachment.work
        handled = attachment.handle(speaker, Message(text, position, 0, True))
        self._work.spend(self._payer, attachment.work - before, now)
        self._stopped = handled.stop
        return edited(text, handled.replacements)

    # -- attaching and releasing the helper

    @property
    def registered(self) -> Registered:
        return self._attachment.registered

    @property
    def is_plain(self) -> bool:
        return True

    def attach(self, registered: Registered) -> bool:
        self._attachment = Attachment(self._services, self._flow, registered)
        self.is_inspecting, self._stopped = True, False
        return True

    def renew(self) -> None:
        self._attachment.renew()

    def release(self) -> None:
        self.is_inspecting = False

    # -- plain values

    def to_state(self, now: float) -> Plain:
        return {
            "is_inspecting": self.is_inspecting,
            "stopped": self._stopped,
            "sent": [self._sent[speaker] for speaker in Speaker],
            "attachment": self._attachment.to_state(),
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
    ) -> DatagramInspector:
        """Return the inspector of a state, with one of these helpers. Raises StateError."""
        attachment = Attachment.from_state(services, flow, helpers, state.fields("attachment"))
        made = cls(services, budget, flow, attachment)
        made.is_inspecting, made._stopped = state.boolean("is_inspecting"), state.boolean("stopped")
        sent = state.fields("sent")
        made._sent = {speaker: sent.integer(speaker) for speaker in Speaker}
        return made

    @property
    def lacks_helper(self) -> bool:
        return self._attachment.lacks_helper and not self._attachment.blocked


def _rebuilt(
    packet: Packet, header: Header, half: Half, ttl_delta: int, text: bytes, nth: int
) -> Packet:
    """Return the `nth` packet made in place of this one, with another payload. A datagram without a checksum gets none
    (RFC 768)."""
    body = udp.write(text)
    made = rebuild(packet, header, half, ttl_delta, body, nth)
    at = header.length + udp.CHECKSUM
    if not packet.partial and not any(packet.data[at : at + 2]):
        made.data[at : at + 2] = b"\0\0"
    return made
