"""What helpers announce: expectations from the moment in which a helper asks for them to their end.

This is the `Desk` of attachments: they ask it for what an announcement needs (`expect`), and say whether the
announcement is forwarded (`confirm`) or not (`withdraw`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ipmasq.core import events
from ipmasq.core.attachment import Attachment
from ipmasq.core.events import Event
from ipmasq.core.expectations import Expectation, ExpectationTable
from ipmasq.core.flow import Flow
from ipmasq.core.helper import Speaker
from ipmasq.core.reasons import Reason
from ipmasq.core.shortage import Shortage
from ipmasq.core.table import Table
from ipmasq.core.timers import Timers
from ipmasq.wire.addresses import Endpoint


class Announcements:
    def __init__(
        self,
        table: Table,
        expectations: ExpectationTable,
        timers: Timers[Any],
        shortage: Shortage,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        """`clock`: the time of the packet at hand."""
        self._table = table
        self._expectations = expectations
        self._timers = timers
        self._shortage = shortage
        self._clock = clock
        self.emit = emit

    @property
    def now(self) -> float:
        return self._clock()

    def expect(
        self, attachment: Attachment, speaker: Speaker, announced: Endpoint, protocol: int
    ) -> Expectation:
        """Hold what an announcement needs. Raises `Refusal`."""
        use, flow = attachment.registered.use, attachment.flow
        made = self._expectations.make(flow, use, speaker, announced, protocol, self.now)
        if made.mapping is not None and not (made.mapping.flows or made.mapping.expectations):
            self._shortage.mapped(made.mapping, self.now)
        return made

    def withdraw(self, expectations: Sequence[Expectation]) -> None:
        """Drop expectations whose announcement was not forwarded, and free their ports."""
        for mapping in {id(each.mapping): each.mapping for each in expectations}.values():
            if mapping is not None:
                self._table.mappings.drop_unused(mapping)

    def forget(self, flow: Flow) -> None:
        """What it has announced is void."""
        self.end_all(flow, Reason.WITHDRAWN)

    def end_all(self, flow: Flow, reason: Reason) -> None:
        """End what a flow has announced and nobody has met."""
        for expectation in self._expectations.of(flow):
            self.end(expectation, reason)

    def confirm(self, expectations: Sequence[Expectation], attachment: Attachment) -> None:
        """The announcement goes out: from now on the flow may come."""
        use = attachment.registered.use
        # Held by all of them until the last is in: one may take the place of another.
        held = [new.mapping for new in expectations if new.mapping is not None]
        for mapping in held:
            mapping.expectations += 1
        for new in expectations:
            for old in self._expectations.replaced_by(new, use.expectations_per_flow):
                self.end(old, Reason.REPLACED)
            self._expectations.add(new)
            self._timers.set(new, new.until)
            attachment.registered.expected += 1
            self.emit(
                events.Expected(
                    self.now,
                    new.flow.id,
                    new.helper,
                    new.speaker,
                    new.protocol,
                    new.announced,
                    new.public,
                    new.peer,
                    new.until,
                )
            )
        for mapping in held:
            mapping.expectations -= 1
            self._table.mappings.drop_unused(mapping)

    def meet(self, expectation: Expectation, flow: Flow) -> None:
        """The promised flow has come: once, and linked."""
        master = expectation.flow
        flow.master = master
        master.links += 1
        if master.inspector is not None:
            master.inspector.registered.met += 1
        self.end(expectation, Reason.MET, met_by=flow.id)

    def end(
        self,
        expectation: Expectation,
        reason: Reason,
        met_by: int | None = None,
    ) -> None:
        self._timers.cancel(expectation)
        self._expectations.remove(expectation)
        self.emit(
            events.ExpectationEnded(
                self.now,
                expectation.flow.id,
                expectation.helper,
                expectation.public,
                reason,
                met_by,
            )
        )
