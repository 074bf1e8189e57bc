"""The state of this gateway outlives its process: it is found at the start, and kept in an embedded store."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ipmasq.continuity.contents import VERSION_NAME
from ipmasq.continuity.durable import Background
from ipmasq.continuity.kept import BOOT, Found, Location
from ipmasq.continuity.reading import Reading
from ipmasq.continuity.settings import StateSettings
from ipmasq.continuity.sqlite import remove
from ipmasq.continuity.store import StoreError
from ipmasq.continuity.writer import StateWriter, Status
from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.events import Event, StateRefused, StateRestored, StoreFailed, StoreRecovered
from ipmasq.core.plain import StateError
from ipmasq.core.policy import Policy
from ipmasq.gateway import garbage
from ipmasq.gateway.drive import Drive, chance
from ipmasq.gateway.holding import hold_ports
from ipmasq.gateway.operated import Operated
from ipmasq.gateway.outbox import Leaving, Outbox
from ipmasq.gateway.setup import Configuration
from ipmasq.planes.tun.journal import cookie

log = logging.getLogger("ipmasq")

DURABLE = Path("/var/lib/ipmasq")
"""Where a state is kept that survives a restart of the host."""

WITHOUT = "the gateway goes on without it"
"""What follows if the state cannot be kept."""

LONGEST_WAIT = 1.0
"""Seconds for which a packet waits for a disk at most."""


def location_of_state(settings: StateSettings, directory: Path) -> Location:
    """Return where the state of a gateway of this network namespace is. `directory` is for what need not survive
    a restart of the host."""
    namespace = os.stat("/proc/self/ns/net").st_ino
    name = "state.db" if settings.durable else f"state-{namespace}.db"
    usual = DURABLE if settings.durable else directory
    about = {
        BOOT: Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "namespace": str(cookie()),
    }
    return Location((settings.directory or usual) / name, about, settings.durable)


class Keeping:
    def __init__(
        self, settings: StateSettings, directory: Path, now: float, ahead: Reading | None = None
    ) -> None:
        """Find what an earlier process has kept, of which some may have been read `ahead`. Never raises."""
        self._location = location_of_state(settings, directory)
        self._durable = settings.durable
        self.found = self._location.find(now, time.time(), ahead)
        self.operated = Operated(self._keep)
        self._rows: dict[str, object] = {}
        self._writer: StateWriter | None = None
        self._drive: Drive | None = None
        self._outbox: Outbox | None = None
        self._ticket = self._acknowledged = 0
        self.restored = 0
        """Flows that were restored."""
        self._news: list[Event] = []
        """What happened before anybody could listen."""

    @garbage.collect_all()
    def engine(self, policy: Policy, configuration: Configuration, now: float) -> Engine:
        """Return an engine that continues where the earlier process was, or a new one. `policy` is that of the
        file."""
        found = self.found
        if found.kept:
            flows = sum(each.kind == Kind.FLOW for each in found.kept)
            flows += len(found.plain.flows) if found.plain is not None else 0
            try:
                changed, troubles = self.operated.restore(policy, found.others, configuration)
                made = Engine.from_records(changed, chance, found.kept, now, True, found.plain)
            except StateError as error:
                self.operated.clear()
                self.found = found = self._location.refuse(
                    f"{self._location.path}: {error}", found.store
                )
            else:
                self.restored = made.table.count
                self._news.append(StateRestored(now, self.restored, round(found.age, 3)))
                found.kept, found.plain = [], None
                for trouble in troubles:
                    log.warning("%s", trouble)
                if flows > self.restored:
                    log.warning(
                        "%d of the %d flows do not go on: the configuration or the host's addresses no longer allow "
                        "them, or they have ended",
                        flows - self.restored,
                        flows,
                    )
                return made
        if found.refused:
            self._news.append(StateRefused(now, found.refused))
        return hold_ports(Engine(policy, chance, now), now)

    def begin(self, drive: Drive) -> None:
        """Begin to keep what the engine remembers."""
        self._drive, now = drive, drive.loop.clock()
        self._outbox = Outbox(drive.loop, LONGEST_WAIT)
        self._writer = StateWriter(
            drive.engine, self._begin_anew, time.time, self._failed, self._recovered
        )
        self._writer.set(VERSION_NAME, version("ipmasq"), now)
        for name, row in self._rows.items():
            self._writer.set(name, row, now)
        drive.say(*self._news)
        if self.found.store is not None:
            self._follow(self.found)
            self._writer.use(self.found.store, now, goes_on=True)
        else:
            self._writer.cannot(self.found.trouble, now)
        drive.write_ahead = self.write_ahead
        drive.loop.between(self._writer.between)

    def end(self, for_successor: bool) -> None:
        """Write everything, so that a successor continues from here. Without one the state is removed, unless it
        was to survive the host: what was changed for this run must not come back later."""
        if self._writer is not None and self._drive is not None:
            self._unfollow()
            self._writer.close(self._drive.loop.clock(), for_successor)
            self._drive.write_ahead = None
        if not (for_successor or self._durable):
            with suppress(OSError):
                remove(self._location.path)

    @property
    def is_kept(self) -> bool:
        """Whether what the engine remembers is in the store, or on its way there."""
        return (
            self._writer is not None and self._writer.store is not None and not self._writer.trouble
        )

    def compact(self) -> None:
        """Let a successor that comes soon have little to read."""
        if self._writer is not None and self._drive is not None:
            self._writer.compact(self._drive.loop.clock())

    def is_compact(self) -> bool:
        """Go on with that. Return whether it is done."""
        if self._writer is None or self._drive is None:
            return True
        return self._writer.is_compact(self._drive.loop.clock())

    def lend(self) -> bool:
        """Write everything and close the store, for a successor. Return whether everything was written."""
        store = self.found.store
        self.end(True)
        failed = isinstance(store, Background) and store.has_failed
        return self._writer is not None and not self._writer.trouble and not failed

    def go_on(self) -> None:
        """Keep the state again after `lend`: a successor may have written to the store, and is gone."""
        if self._writer is not None and self._drive is not None:
            self._writer.go_on(self._drive.loop.clock())
            self._drive.write_ahead = self.write_ahead

    def write_ahead(self, packets: Sequence[Leaving]) -> bool:
        """Write what packets depend on before they leave; see `ipmasq.gateway.drive.WriteAhead`."""
        drive, writer, outbox = self._drive, self._writer, self._outbox
        if (
            drive is None
            or writer is None
            or outbox is None
            or not drive.engine.has_dependent_changes
        ):
            return False
        self._ticket += 1
        ticket = self._ticket
        writer.write(drive.loop.clock(), lambda: self._is_kept(ticket))
        if self._acknowledged >= ticket:
            return False  # it is written already
        outbox.hold(ticket, packets)
        return True

    def _is_kept(self, ticket: int) -> None:
        self._acknowledged = max(self._acknowledged, ticket)
        if self._outbox is not None:
            self._outbox.release(ticket)

    def _keep(self, name: str, row: object) -> None:
        self._rows[name] = row
        if self._writer is not None and self._drive is not None:
            self._writer.set(name, row, self._drive.loop.clock())

    # -- a store in a thread, and failures

    def _begin_anew(self) -> Any:
        self.found = Found(self._location.begin())
        self._follow(self.found)
        return self.found.store

    def _follow(self, found: Found) -> None:
        if isinstance(found.store, Background) and self._drive is not None:
            self._drive.loop.watch(found.store.descriptor, self._report)

    def _unfollow(self) -> None:
        if isinstance(self.found.store, Background) and self._drive is not None:
            self._drive.loop.unwatch(self.found.store.descriptor)

    def _report(self) -> None:
        store = self.found.store
        if isinstance(store, Background) and self._writer is not None and self._drive is not None:
            try:
                store.report()
            except StoreError as error:
                self._writer.failed(error, self._drive.loop.clock())

    def _failed(self, text: str) -> None:
        self._unfollow()
        self.found = Found()
        if self._drive is not None:
            self._drive.say(StoreFailed(self._drive.loop.clock(), text, WITHOUT))

    def _recovered(self) -> None:
        if self._drive is not None:
            self._drive.say(StoreRecovered(self._drive.loop.clock()))

    @property
    def path(self) -> Path:
        return self._location.path

    @property
    def writing(self) -> Status | None:
        """What the store does; None before the gateway has started."""
        return None if self._writer is None else self._writer.status

    def status(self) -> Mapping[str, Any]:
        """Return what the store does, for people."""
        status = self.writing
        if status is None:
            return {"path": str(self._location.path), "kept": False}
        return {
            "path": str(self._location.path),
            "kept": status.is_kept,
            "records": status.written,
            "bytes": status.size,
            "failures": status.failures,
            "trouble": status.trouble,
            "restored_flows": self.restored,
        }


def begun_engine(
    keeping: Keeping | None,
    policy: Policy,
    configuration: Configuration,
    now: float,
    is_member: bool = False,
) -> Engine:
    """Return an engine that continues where an earlier process was, if its state is kept. That of a member of a group knows
    nothing until it takes over, and then what the group knows."""
    if keeping is None:
        made = Engine(policy, chance, now)
        return made if is_member else hold_ports(made, now)
    return keeping.engine(policy, configuration, now)
