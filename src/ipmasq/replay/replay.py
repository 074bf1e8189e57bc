"""Runs a capture through the engine, on the capture's own clock, to show what the gateway would have done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import BinaryIO

from ipmasq.core import events
from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.policy import Policy
from ipmasq.core.reasons import Reason
from ipmasq.core.registered import Call
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.gateway.describe import remark
from ipmasq.planes.pcap import Arrival, ByNetwork, PcapPlane, Sides
from ipmasq.replay.earlier import UNKNOWN, Earlier
from ipmasq.replay.far_end import FarEnd
from ipmasq.replay.recorder import Recorder
from ipmasq.wire.addresses import Address, Endpoint, within
from ipmasq.wire.endpoints import differences, ends
from ipmasq.wire.packet import Packet
from ipmasq.wire.record import NANOSECONDS, CaptureError

EXAMPLE_ADDRESS: Address = bytes((203, 0, 113, 1))
"""The public address if the policy has none, because no interface provides it (RFC 5737)."""


@dataclass
class Summary:
    """The result of a replay. Times are in seconds after the first packet."""

    packets: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)
    """Packets that the engine handled, by reason."""
    copied: Counter[str] = field(default_factory=Counter)
    """Packets that it did not handle, by the reason why."""
    earlier: int = 0
    """Packets of connections that began before the capture. They are not among the reasons."""
    unfinished: int = 0
    """Packets whose checksum was unfinished, as captured on the host that sends them."""
    readdressed: int = 0
    """Replies to an inside host's own address, which were changed to its public endpoint."""
    flows: int = 0
    rewrites: int = 0
    expectations: int = 0
    met: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    public: tuple[Address, ...] = ()
    damage: str = ""
    """Where and why reading stopped early; empty if the capture was whole."""

    def note(self, event: Event) -> None:
        match event:
            case events.FlowOpened():
                self.flows += 1
            case events.Rewritten():
                self.rewrites += 1
            case events.Expected():
                self.expectations += 1
            case events.ExpectationEnded(reason=Reason.MET):
                self.met += 1
            case events.Refused():
                self.refused += 1
            case events.HelperFailed():
                self.failed += 1


def replay(
    source: BinaryIO,
    target: BinaryIO,
    policy: Policy,
    sides: Sides | None = None,
    seed: int = 0,
    recorder: Recorder | None = None,
) -> Summary:
    """Write to `target` (pcapng) what would leave, each packet with comments that say why.

    Packets that are dropped, or do not concern the gateway, are written as they came, with a comment. The
    same capture, policy and seed give the same bytes. `sides` is by network unless given. Raises CaptureError
    if not even one packet can be read; a damaged capture is processed up to the damage, and the summary says
    where that is. `recorder` is told of all that happens, and makes the list of steps.
    """
    plane = PcapPlane(source, target, sides or ByNetwork(policy.inside))
    run = _Run(plane, policy, seed, recorder)
    return run.all()


OWN = "sent by the gateway itself: what it had withheld, or had acknowledged and was not received"


class _Run:
    def __init__(
        self, plane: PcapPlane, policy: Policy, seed: int, recorder: Recorder | None
    ) -> None:
        self._policy = replace(policy, public=policy.public or (EXAMPLE_ADDRESS,), ttl_delta=-1)
        self._plane = plane
        self._engine = Engine(self._policy, Random(seed).randrange, 0.0)
        self._far_end = FarEnd(self._policy)
        self._earlier = Earlier()
        self._names = _Names()
        self._summary = Summary(public=self._policy.public)
        self._latest: dict[Side, Arrival] = {}
        self._start: int | None = None
        self._now = 0.0
        self._sentences: list[str] = []
        self._recorder = recorder
        if recorder:
            self._engine.call_helpers_by(self._recorded)

    def all(self) -> Summary:
        summary = self._summary
        try:
            for arrival in self._plane.arrivals():
                summary.packets += 1
                self._one(arrival)
        except CaptureError as error:
            if not summary.packets:
                raise
            summary.damage = str(error)
        summary.seconds = self._now
        if self._recorder:
            self._recorder.finish(self._now, self._engine.flows())
        return summary

    def _one(self, arrival: Arrival) -> None:
        self._names.forget()
        if self._recorder:
            self._recorder.begin(None)
        before = self._let_time_pass(arrival.record.at)
        packet, side = arrival.packet, arrival.side
        if packet is None or side is None:
            self._summary.copied[arrival.reason] += 1
            self._plane.copy(arrival, (*before, f"not shown to the gateway: it {arrival.reason}"))
            return
        before += self._as_arrived(packet, side)
        came = bytes(packet.data)
        self._latest[side] = arrival
        if self._recorder:
            self._recorder.begin(self._summary.packets)
        verdict = self._engine.receive(packet, side, self._now)
        happened = self._listen()
        if self._earlier.has(came, verdict.reason):
            self._skip(arrival, came, side, [*before, *happened])
            return
        self._summary.reasons[verdict.reason] += 1
        if self._recorder and verdict.reason.is_drop:
            self._recorder.dropped(self._now, came, side, verdict.reason)
        if side is Side.INSIDE:
            self._far_end.heard(came)
        self._write(arrival, came, verdict, [*before, *happened])

    def _skip(self, arrival: Arrival, came: bytes, side: Side, happened: list[str]) -> None:
        """Count a packet of a connection that began before the capture, and write it as it came."""
        self._summary.earlier += 1
        if self._recorder:
            self._recorder.earlier(self._now, came, side)
        self._plane.copy(arrival, [*happened, f"not translated: {UNKNOWN}"])

    def _let_time_pass(self, at: int) -> list[str]:
        """Let everything happen that is due until then, each at its time, and return it. If a capture steps
        back in time, time stands still instead."""
        if self._start is None:
            self._start = at
        now = max(self._now, (at - self._start) / NANOSECONDS)
        due = self._engine.deadline()
        while due is not None and due <= now:
            self._engine.tick(due)
            self._send_own(due)
            following = self._engine.deadline()
            due = following if following is not None and following > due else None
        self._engine.tick(now)
        self._send_own(now)
        self._now = now
        return [f"before this packet: {sentence}" for sentence in self._listen()]

    def _send_own(self, now: float) -> None:
        """Write what the engine sends by itself, in a frame like the latest that came in there."""
        for packet, side in self._engine.outgoing():
            latest = self._latest.get(side)
            if latest is not None and self._start is not None:
                at = self._start + int(now * NANOSECONDS)
                arrival = latest._replace(record=latest.record._replace(at=at, comments=()))
                self._plane.send(arrival, packet, self._leaves_to(packet), [OWN])

    def _as_arrived(self, packet: Packet, side: Side) -> list[str]:
        found = []
        if packet.partial:
            self._summary.unfinished += 1
            found.append("checksum was unfinished")
        if side is Side.OUTSIDE and (public := self._far_end.adopt(packet)):
            self._summary.readdressed += 1
            found.append(f"taken as addressed to {public}, as behind this gateway it would be")
        return found

    def _listen(self) -> list[str]:
        """Return what has happened since the last call."""
        self._collect()
        sentences, self._sentences = self._sentences, []
        return sentences

    def _collect(self) -> None:
        for event in self._engine.events():
            self._summary.note(event)
            self._far_end.learn(event)
            self._earlier.learn(event)
            self._names.learn(event)
            if self._recorder:
                self._recorder.learn(event)
            if sentence := remark(event):
                self._sentences.append(sentence)

    def _recorded(self, name: str) -> Call:
        """Return what calls this helper. The events of the line before are collected first, since they are
        about that line."""

        def call(helper: Helper, line: bytes, context: HelperContext) -> None:
            self._collect()
            if self._recorder:
                self._recorder.line(self._now, name, line, context)
            helper.on_line(line, context)

        return call

    def _write(self, arrival: Arrival, came: bytes, verdict: Verdict, happened: list[str]) -> None:
        reason = verdict.reason
        if reason.is_drop:
            self._plane.copy(arrival, [f"dropped: {reason.sentence}", *happened])
        elif not verdict.packets or reason is Reason.HELD:
            self._plane.copy(arrival, [f"held: {reason.sentence}", *happened])
            happened = []
        for packet in verdict.packets:
            comments = [self._explained(came, packet, reason), *happened]
            self._plane.send(arrival, packet, self._leaves_to(packet), comments)
            happened = []

    def _explained(self, came: bytes, packet: Packet, reason: Reason) -> str:
        if reason in (Reason.PASSED, Reason.HOST):
            return reason.sentence
        if reason.is_drop:
            return "its sender is told by the gateway"
        if bytes(packet.data[16:20]) == came[12:16]:
            return "answered by the gateway itself, which holds back what it acknowledges"
        changes = differences(came, packet.data) or reason.sentence
        return f"translated: {changes}{self._names.of(came)}"

    def _leaves_to(self, packet: Packet) -> Side:
        destination = bytes(packet.data[16:20])
        return Side.INSIDE if within(destination, self._policy.inside) else Side.OUTSIDE


class _Names:
    """The flow of a packet, and the origin of that flow."""

    def __init__(self) -> None:
        self._flows: dict[tuple[int, Endpoint, Endpoint], events.FlowOpened] = {}
        self._opened: dict[int, events.FlowOpened] = {}
        self._ended: list[events.FlowOpened] = []

    def learn(self, event: Event) -> None:
        match event:
            case events.FlowOpened():
                for key in _keys(event):
                    self._flows[key] = event
                self._opened[event.flow] = event
            case events.FlowClosed() if event.flow in self._opened:
                self._ended.append(self._opened.pop(event.flow))

    def forget(self) -> None:
        """Forget the flows that have ended. This is delayed, since the present packet may belong to a flow
        that it ended."""
        for flow in self._ended:
            for key in _keys(flow):
                if self._flows.get(key) is flow:
                    del self._flows[key]
        self._ended.clear()

    def of(self, packet: bytes) -> str:
        tuple_ = ends(packet)
        if tuple_ is None:
            return ""
        protocol, source, destination = tuple_
        flow = self._flows.get(tuple_)
        if flow is None and protocol == 1:
            out = protocol, source, Endpoint(destination.address, 0)
            back = protocol, Endpoint(source.address, 0), destination
            flow = self._flows.get(out) or self._flows.get(back)
        return f" (flow {flow.flow}, {flow.origin})" if flow else ""


def _keys(flow: events.FlowOpened) -> tuple[tuple[int, Endpoint, Endpoint], ...]:
    """Return protocol, source and destination of the flow's packets, as they arrive from either side."""
    return (
        (flow.protocol, flow.inside, flow.remote),
        (flow.protocol, flow.remote_real, flow.public),
    )
