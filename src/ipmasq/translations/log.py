"""The translation log of one gateway, as the configuration wants it: what is recorded, and where."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from math import inf
from typing import NamedTuple
from weakref import WeakKeyDictionary

from ipmasq.config.model import TranslationLogTable
from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.gateway.drive import Listener
from ipmasq.gateway.loop import Loop, Timer
from ipmasq.translations.feed import AT_ONCE, Feed
from ipmasq.translations.lines import Line, Syslog, about_the_log, as_json, line
from ipmasq.translations.outlet import Outlet
from ipmasq.translations.records import Record, Translations
from ipmasq.translations.targets import DatagramTarget, FileTarget, Target

log = logging.getLogger("ipmasq")

PATIENCE = 10.0
"""Seconds for which the last records wait for room in the queues; then those that find none are lost."""

LEAVING = 0.02
"""Seconds for which a successor waits until the rest is written; packets wait for it, too."""

LOOK_EVERY = 1.0
"""Seconds between two checks for records that were lost."""


class TranslationLogError(Exception):
    """The log cannot be written. The message is for the operator."""


class _Path(NamedTuple):
    """A way to a target."""

    outlet: Outlet
    frame: Callable[[Line], bytes]


class TranslationLog:
    def __init__(self, engine: Engine, loop: Loop, listeners: list[Listener]) -> None:
        self._engine = engine
        self._loop = loop
        self._listeners = listeners
        self._table = TranslationLogTable()
        self._translations = Translations(False)
        self._paths: list[_Path] = []
        self._timer: Timer | None = None
        self._events_lost = 0
        self._feeds: list[Feed] = []
        self._beginning: Feed | None = None
        """The one of the flows that are older than the log."""
        self._ending: list[Outlet] = []
        """Outlets of earlier logs that may still be writing."""
        self._told: WeakKeyDictionary[Outlet, int] = WeakKeyDictionary()
        """Lost records, as far as they were reported."""

    @property
    def outlets(self) -> Sequence[Outlet]:
        return [path.outlet for path in self._paths]

    def open(self, table: TranslationLogTable) -> None:
        """Begin as this table says, with the flows that are alive; an earlier log ends. Raises
        TranslationLogError; then nothing has changed."""
        paths = list(_paths(table))
        self.end()
        self._table, self._paths = table, paths
        if not paths:
            return
        self._translations = Translations(table.destinations)
        self._events_lost = self._engine.lost_events
        self._listeners.append(self.listen)
        self._put(paths, [about_the_log("log_started", time.time())])
        self._know()
        self._look()

    def end(self) -> None:
        """End every translation. What waits is still written, which is not waited for."""
        if not self._paths:
            return
        self._listeners.remove(self.listen)
        if self._beginning in self._feeds:
            self._feeds.remove(self._beginning)
        paths, now = self._paths, self._loop.clock()

        def then() -> None:
            self._put(paths, [about_the_log("log_stopped", time.time())])
            for path in paths:
                path.outlet.end()

        ended = self._translations.end_all(now, "log_stopped")
        batches = iter(lambda: list(islice(ended, AT_ONCE)), [])
        self._feed(paths, batches, then, now + PATIENCE)
        self._ending += self.outlets
        self._paths = []

    def leave(self) -> None:
        """Write what waits, without a word that the log ends: a successor begins it anew. A target that is not ready
        for it is not waited for, since packets are. May be followed by `begin_anew` or `finish`."""
        if self._paths:
            self._listeners.remove(self.listen)
            for outlet in self.outlets:
                outlet.end()
            for outlet in self.outlets:
                outlet.join(LEAVING / len(self.outlets))
            self._ending += [each for each in self.outlets if not each.is_done]
            self._paths = []
        # An earlier log has no successor, and is still to end.
        self._feeds = [feed for feed in self._feeds if feed is not self._beginning]

    def finish(self) -> None:
        """Wait a little until is written what was not at `leave`."""
        while self._feeds:
            pauses = [self._step(feed) for feed in list(self._feeds)]
            time.sleep(min((each for each in pauses if each is not None), default=0.0))
        for outlet in self._ending:
            outlet.join()
        self._look()

    def begin_anew(self) -> None:
        """Go on after `leave`, with all flows, since a successor may have written to the log. What is wrong is
        logged."""
        try:
            self.open(self._table)
        except TranslationLogError as error:
            log.error("%s", error)

    def close(self) -> None:
        """End, and wait a little until what waits is written. May be called twice."""
        self.end()
        self.finish()
        if self._timer is not None:
            self._timer.cancel()

    def follow(self, table: TranslationLogTable) -> None:
        """Continue as this table says, after the configuration has changed. What is wrong is logged."""
        if table != self._table:
            try:
                self.open(table)
            except TranslationLogError as error:
                log.error("%s", error)

    def reopen(self) -> None:
        """Open files anew, since they may have been renamed."""
        for path in self._paths:
            path.outlet.reopen()

    def listen(self, events: Sequence[Event]) -> None:
        """A listener of the gateway."""
        self._record(self._paths, self._translations.follow(events))

    # -- detail

    def _record(self, paths: Sequence[_Path], records: Iterable[Record]) -> None:
        epoch = time.time() - self._loop.clock()
        self._put(paths, [line(record, epoch) for record in records])

    def _put(self, paths: Sequence[_Path], lines: Sequence[Line]) -> None:
        if lines:
            for path in paths:
                path.outlet.put(list(map(path.frame, lines)))

    def _know(self) -> None:
        """Record flows that are older than the log."""
        if self._beginning in self._feeds:
            self._feeds.remove(self._beginning)
        self._beginning = self._feed(self._paths, self._older(), lambda: None, inf)

    def _older(self) -> Iterator[list[Record]]:
        flows = self._engine.flows()
        while some := list(islice(flows, AT_ONCE)):
            now, over = self._loop.clock(), self._engine.table.over
            known = (self._translations.know(view, now, view.id in over) for view in some)
            yield list(chain.from_iterable(known))

    def _feed(
        self,
        paths: Sequence[_Path],
        batches: Iterator[Sequence[Record]],
        then: Callable[[], object],
        until: float,
    ) -> Feed:
        put = partial(self._record, paths)
        feed = Feed(batches, put, lambda: all(each.outlet.has_room for each in paths), then, until)
        self._feeds.append(feed)
        self._turn(feed)
        return feed

    def _turn(self, feed: Feed) -> None:
        """Do a step of a feed, unless it was abandoned, and plan the next one."""
        if feed in self._feeds and (pause := self._step(feed)) is not None:
            self._loop.later(pause, partial(self._turn, feed))

    def _step(self, feed: Feed) -> float | None:
        pause = feed.step(self._loop.clock())
        if pause is None:
            self._feeds.remove(feed)
        return pause

    def _look(self) -> None:
        """Report what was lost, and repair what lost events have left; called about once a second."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.later(LOOK_EVERY, self._look)
        for outlet in self.outlets:
            outlet.put(())  # a marker of lost records, if there is room again
        if self._paths and self._engine.lost_events != self._events_lost:
            self._events_lost = self._engine.lost_events
            alive = set(self._engine.table.numbers())
            lost = self._translations.end_all(self._loop.clock(), "unknown", alive)
            self._record(self._paths, lost)
            self._know()
        for outlet in (*self.outlets, *self._ending):
            self._report(outlet)
        self._ending = [outlet for outlet in self._ending if not outlet.is_done]

    def _report(self, outlet: Outlet) -> None:
        """Log how many records were lost since the last report, or wait. The log limits lines that repeat."""
        name, lost = outlet.name, outlet.lost - self._told.get(outlet, 0)
        self._told[outlet] = outlet.lost
        if lost:
            said = {"kind": ("translations lost", name)}
            text = "%d records of the translation log to %s are lost: %s"
            log.error(text, lost, name, outlet.trouble or "it is too slow", extra=said)
        elif outlet.trouble:
            said = {"kind": ("translations wait", name)}
            text = "the translation log cannot be written to %s, and %d records wait: %s"
            log.warning(text, name, outlet.waiting, outlet.trouble, extra=said)


def _paths(table: TranslationLogTable) -> Iterator[_Path]:
    """Yield the ways to all targets. Raises TranslationLogError."""
    if table.file is not None:
        try:
            target: Target = FileTarget(table.file)
        except OSError as error:
            reason = error.strerror or error
            raise TranslationLogError(f"the translation log {table.file}: {reason}") from None
        yield _path(target, as_json)
    if table.syslog is not None:
        syslog = Syslog(table.facility)
        frame = syslog.local if isinstance(table.syslog, str) else syslog.message
        yield _path(DatagramTarget(table.syslog), frame)


def _path(target: Target, frame: Callable[[Line], bytes]) -> _Path:
    def marker(count: int) -> bytes:
        return frame(about_the_log("records_lost", time.time(), count=count))

    return _Path(Outlet(target, marker), frame)
