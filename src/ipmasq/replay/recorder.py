"""Makes the list of steps of a replay from what the engine reports and from the lines that its helpers are given."""

from __future__ import annotations

from collections.abc import Iterable

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.helper import HelperContext
from ipmasq.core.reasons import Reason
from ipmasq.core.shortage import name as protocol_name
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.tcp_states import CONNTRACK, State
from ipmasq.core.views import FlowView
from ipmasq.gateway.describe import remark
from ipmasq.replay.earlier import UNKNOWN, Ends
from ipmasq.replay.steps import MOST_STEPS, Column, Kind, Outcome, Step, Steps
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.endpoints import ends
from ipmasq.wire.passwords import without_passwords
from ipmasq.wire.visible import visible

LONGEST = 1000
"""Bytes of a line that a step shows."""

AT_THE_END = {
    CONNTRACK[State.C_S_FIN]: Reason.ENDED.sentence,
    CONNTRACK[State.TRANS]: Reason.RESET.sentence,
}
"""How a flow has ended whose entry remains for late packets, by the state that is shown of it."""

COLUMNS = {Side.INSIDE: Column.INSIDE, Side.OUTSIDE: Column.OUTSIDE}


def shown(line: bytes) -> str:
    """Return a line as visible text without its terminator, and without a password."""
    text = without_passwords(line)
    more = "..." if len(text) > LONGEST else ""
    return visible(text[:LONGEST].rstrip(b"\r\n").decode("latin-1")) + more


class Recorder:
    """Keeps the steps, and what is needed to connect them: the line that announced a flow with the flow."""

    def __init__(self, most: int = MOST_STEPS) -> None:
        self.result = Steps()
        self._most = most
        self._packet: int | None = None
        self._opened: dict[int, events.FlowOpened] = {}
        self._by_ends: dict[tuple[Endpoint, Endpoint], int] = {}
        """Flows by the real endpoints of their client and server."""
        self._lines: dict[int, tuple[bytes, Step]] = {}
        """The latest line of each flow."""
        self._announced: dict[tuple[int, Endpoint], Step] = {}
        """The step that announced an endpoint, by control flow and public endpoint."""
        self._openings: dict[int, Step] = {}
        """The steps that opened flows."""
        self._met: dict[int, Step] = {}
        """The announcements of flows whose opening is not recorded yet."""
        self._earlier: dict[Ends, Step] = {}
        """The steps of connections that began before the capture."""
        self._dropped: tuple[object, Step] | None = None
        """The latest step, if it is a drop: what was dropped, for repetitions."""

    def begin(self, packet: int | None) -> None:
        """What is reported from here on was caused by this captured packet, or by time alone."""
        self._packet = packet

    def line(self, at: float, helper: str, line: bytes, context: HelperContext) -> None:
        """Record a line that a helper is about to be given."""
        ends_ = context.endpoint(Speaker.CLIENT), context.endpoint(Speaker.SERVER)
        flow = self._by_ends.get(ends_)
        if flow is None:
            return
        text = shown(line)
        step = self._arrow(at, Kind.LINE, flow, self._from(flow, context.speaker))
        step.helper, step.before, step.after, step.outcome = helper, text, text, Outcome.PASSED
        self._lines[flow] = line, step

    def learn(self, event: Event) -> None:
        """Record an event of the engine."""
        match event:
            case events.FlowOpened():
                self._flow_opened(event)
            case events.FlowClosed():
                self._flow_closed(event)
            case events.Expected():
                self._expected(event)
            case events.ExpectationEnded():
                self._expectation_ended(event)
            case events.Rewritten():
                step = self._about_line(event, event.before)
                step.after, step.outcome = shown(event.after), Outcome.REWRITTEN
            case events.Refused():
                step = self._about_line(event, event.line)
                step.outcome = Outcome.REFUSED
                step.sentences.append(f"helper {event.helper} did not act on it: {event.reason}")
            case events.HelperFailed():
                step = self._about_line(event, event.line)
                step.outcome = Outcome.FAILED
                step.sentences.append(f"helper {event.helper} failed on it: {event.error}")
            case events.HelperBound() | events.HelperReleased() | events.KeptAlive():
                self._note(event, event.flow)
            case events.FlowEncrypted() | events.ExpectationMissed():
                self._note(event, event.flow)

    def dropped(self, at: float, packet: bytes, side: Side, reason: Reason) -> None:
        """Record a packet that was dropped. Repetitions of the latest step are counted in it."""
        tuple_ = ends(packet)
        what = tuple_, side, reason
        if self._dropped and self._dropped[0] == what:
            self._dropped[1].packets += 1
            return
        step = self._add(at, Kind.DROPPED, COLUMNS[side], Column.GATEWAY)
        step.outcome, step.packets = Outcome.DROPPED, 1
        step.sentences.append(reason.sentence)
        if tuple_:
            protocol, source, target = tuple_
            step.protocol = protocol_name(protocol)
            outside = side is Side.OUTSIDE
            step.inside, step.remote = ("", str(source)) if outside else (str(source), str(target))
            step.public = str(target) if outside else ""
        self._dropped = what, step

    def earlier(self, at: float, packet: bytes, side: Side) -> None:
        """Record a packet of a connection that began before the capture. There is one step for each of those."""
        tuple_ = ends(packet)
        assert tuple_ is not None  # as it has ports
        _, *found = tuple_
        key = frozenset(found)
        if step := self._earlier.get(key):
            step.packets += 1
            return
        self._earlier[key] = step = self._add(at, Kind.EARLIER, Column.GATEWAY, Column.GATEWAY)
        near, far = found if side is Side.INSIDE else found[::-1]
        step.inside, step.remote, step.protocol = str(near), str(far), protocol_name(ipv4.TCP)
        step.sentences.append(UNKNOWN)
        step.packets = 1

    def finish(self, at: float, flows: Iterable[FlowView]) -> Steps:
        """Record which flows are still open, and return all steps."""
        self.begin(None)
        for flow in sorted(flows, key=lambda flow: flow.id):
            over = AT_THE_END.get(flow.state)
            step = self._end(at, flow.id, Kind.CLOSED if over else Kind.OPEN)
            step.sentences.append(over or f"its state at the end of the capture is {flow.state}")
            step.packets = flow.packets_out + flow.packets_in
            step.bytes_out, step.bytes_in = flow.bytes_out, flow.bytes_in
        return self.result

    def _flow_opened(self, event: events.FlowOpened) -> None:
        self._opened[event.flow] = event
        inside = event.opened_by is Side.INSIDE
        real = event.inside, event.remote_real
        self._by_ends[real if inside else real[::-1]] = event.flow
        step = self._arrow(event.at, Kind.OPENED, event.flow, COLUMNS[event.opened_by])
        step.sentences.append(f"flow {event.flow} was opened by {event.origin}")
        step.outcome = Outcome.PASSED
        self._openings[event.flow] = step
        if event.flow in self._met:
            _connect(self._met.pop(event.flow), step)

    def _flow_closed(self, event: events.FlowClosed) -> None:
        step = self._end(event.at, event.flow)
        step.sentences.append(event.reason.sentence)
        step.packets = event.packets_out + event.packets_in
        step.bytes_out, step.bytes_in = event.bytes_out, event.bytes_in
        if opened := self._opened.pop(event.flow, None):
            real = opened.inside, opened.remote_real
            for key in (real, real[::-1]):
                if self._by_ends.get(key) == event.flow:
                    del self._by_ends[key]
        self._lines.pop(event.flow, None)
        self._openings.pop(event.flow, None)

    def _expected(self, event: events.Expected) -> None:
        found = self._lines.get(event.flow)
        step = found[1] if found else self._note(event, event.flow)
        step.outcome = Outcome.LINKED
        step.sentences.append(remark(event) or "")
        self._announced[event.flow, event.public] = step

    def _expectation_ended(self, event: events.ExpectationEnded) -> None:
        step = self._announced.pop((event.flow, event.public), None)
        if event.met_by is None:
            if event.reason is not Reason.REPLACED:
                self._note(event, event.flow)
        elif step is not None and event.met_by in self._openings:
            _connect(step, self._openings[event.met_by])
        elif step is not None:
            self._met[event.met_by] = step

    def _about_line(
        self, event: events.Rewritten | events.Refused | events.HelperFailed, line: bytes
    ) -> Step:
        """Return the step of the line that an event is about."""
        latest = self._lines.get(event.flow)
        if latest and latest[0] == line:
            return latest[1]
        step = self._arrow(event.at, Kind.LINE, event.flow, self._from(event.flow, event.speaker))
        step.helper, step.before = event.helper, shown(line)
        step.after = step.before
        return step

    def _note(self, event: Event, flow: int) -> Step:
        step = self._add(event.at, Kind.NOTE, Column.GATEWAY, Column.GATEWAY, flow)
        step.sentences.append(remark(event) or "")
        return step

    def _end(self, at: float, flow: int, kind: Kind = Kind.CLOSED) -> Step:
        step = self._add(at, kind, Column.GATEWAY, Column.GATEWAY, flow)
        self._name_ends(step, flow)
        return step

    def _arrow(self, at: float, kind: Kind, flow: int, source: Column) -> Step:
        target = Column.OUTSIDE if source is Column.INSIDE else Column.INSIDE
        step = self._add(at, kind, source, target, flow)
        self._name_ends(step, flow)
        return step

    def _name_ends(self, step: Step, flow: int) -> None:
        if opened := self._opened.get(flow):
            step.inside, step.public = str(opened.inside), str(opened.public)
            step.remote, step.protocol = str(opened.remote), protocol_name(opened.protocol)

    def _from(self, flow: int, speaker: Speaker) -> Column:
        opened = self._opened.get(flow)
        client = COLUMNS[opened.opened_by] if opened else Column.INSIDE
        if speaker is Speaker.CLIENT:
            return client
        return Column.OUTSIDE if client is Column.INSIDE else Column.INSIDE

    def _add(
        self, at: float, kind: Kind, source: Column, target: Column, flow: int | None = None
    ) -> Step:
        steps, self._dropped = self.result.steps, None
        step = Step(len(steps) + 1, at, kind, source, target, self._packet, flow)
        if flow is not None:
            opened = self._opened.get(flow)
            step.conversation = opened.master if opened and opened.master is not None else flow
        if len(steps) < self._most:
            steps.append(step)
        else:
            self.result.more += 1
        return step


def _connect(announcement: Step, opening: Step) -> None:
    announcement.led_to.append(opening.number)
    opening.announced_by = announcement.number
