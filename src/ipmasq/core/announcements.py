"""Announcements of helpers: expectations from the request of a helper to their end.

This is the `HelperServices` of attachments: they request what an announcement needs (`expect`), and say whether the
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
from ipmasq.core.reasons import Reason
from ipmasq.core.shortage import Shortage
from ipmasq.core.speaker import Speaker
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
        """`clock` returns the time of the present packet."""
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
        """Reserve what an announcement needs. Raises `Refusal`."""
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
        """End the flow's expectations, since its announcements are void."""
        self.end_all(flow, Reason.WITHDRAWN)

    def end_all(self, flow: Flow, reason: Reason) -> None:
        """End all expectations of a flow that were not met."""
        for expectation in self._expectations.of(flow):
            self.end(expectation, reason)

    def confirm(self, expectations: Sequence[Expectation], attachment: Attachment) -> None:
        """Activate expectations, since their announcement is being forwarded."""
        use = attachment.registered.use
        # All mappings are held until the last expectation is added, since one may replace another.
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
        """Link a flow that meets an expectation, which ends."""
        master = expectation.flow
        flow.master = master.id
        master.links += 1
        if master.inspector is not None:
            master.inspector.registered.met += 1
        self.end(expectation, Reason.MET, met_by=flow.id)

    def miss(self, protocol: int, public: Endpoint, source: Endpoint) -> None:
        """Report that another host than the expected one has tried to open a flow to an endpoint, once for each
        expectation there."""
        missed = self._expectations.miss(protocol, public)
        if missed is not None:
            self.emit(
                events.ExpectationMissed(
                    self.now, missed.flow.id, missed.helper, public, missed.peer, source
                )
            )

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
