"""A gateway that takes over from one that runs: the successor's side of a handover (see `handover`).

What can fail, or takes long, is done before the predecessor leaves anything. Whatever fails until it says `go` ends this
process at once, as if it was killed: nothing is undone, since the predecessor goes on with it.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ipmasq.continuity.reading import Reading
from ipmasq.gateway.handover import (
    FAILED,
    GO,
    LONGEST_REASON,
    OPEN,
    OPENED,
    READY,
    RUNNING,
    SOCKETS,
    TAKEN,
    YOURS,
    Link,
)
from ipmasq.gateway.host import Changes
from ipmasq.gateway.keeping import location_of_state
from ipmasq.gateway.lending import facts_of
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.planes import make_plane
from ipmasq.gateway.setup import Configuration, Setup
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.planes.tun.record import DIRECTORY
from ipmasq.planes.tun.start import WITHOUT

log = logging.getLogger("ipmasq")

OPTION = "--successor"
"""The option of `ipmasq run` with the descriptors of the link, the lock and the re-entry's device (-1: none)."""


WOULD_GO_ON = "without a fast path the packets would still come to that of the gateway that runs; reload, or restart instead"
"""Its programs end when no process has them any more; until then they keep packets from the engine of this one."""

HAS_ENDED = "the gateway from which this one was to take over has ended"


class Heir(NamedTuple):
    """What was prepared."""

    changes: Changes
    """Of the host, since the configuration was read."""
    setup: Setup
    plane: TunPlane
    ahead: Reading | None = None
    """What was read of the state before the predecessor has closed it."""


def _has_programs(plane: TunPlane) -> bool:
    return bool(plane.fast.table.capacity) or plane.late is not WITHOUT


class Succession:
    def __init__(self, descriptors: str, directory: Path = DIRECTORY) -> None:
        """`descriptors` is the value of `OPTION`. Raises ValueError, OSError."""
        link, *lent = map(int, descriptors.split(","))
        self._link, self._directory = Link.inherited(link), directory
        self._lock, self._device = lent
        for each in lent:
            if each >= 0:
                os.set_inheritable(each, False)
        self._plane: TunPlane | None = None
        self._replaces_programs = self._has_ended = False

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Tell the predecessor of whatever is raised in this block, and end this process, unless `run` has returned."""
        try:
            yield
        except BaseException as error:
            if self._has_ended:
                raise
            self._fail(str(error) or type(error).__name__)

    def prepare(self, configuration: Configuration, chosen: str | None) -> Heir:
        """Read the configuration, and load what the plane needs, beside the predecessor. `chosen` is the plane that
        overrides the configuration's. Raises SetupError, PlaneError."""
        changes = Changes()
        setup = configuration.read()
        plane = make_plane(chosen or setup.plane, setup, self._directory, True)
        plane.borrow(self._lock, self._device)
        return Heir(changes, setup, plane)

    def ask(self, heir: Heir, sockets: Iterable[Path]) -> None:
        """Wait until the predecessor lets this process make these sockets and open the plane. Raises PlaneError."""
        kept = heir.setup.kept
        path = location_of_state(kept, self._directory).path if kept else None
        facts = facts_of(heir.setup, path, self._directory)
        self._say(READY, {**facts, SOCKETS: [str(each.absolute()) for each in sockets]})
        self._replaces_programs = bool(self._await(OPEN))

    def open(self, heir: Heir) -> Heir:
        """Open the plane, read what is kept so far, and wait until the predecessor handles nothing any more. Return what
        is prepared then. Raises PlaneError."""
        self._plane = heir.plane
        heir.plane.open()
        if self._replaces_programs and not _has_programs(heir.plane):
            raise PlaneError(f"{WOULD_GO_ON}: {heir.plane.fast.describe()}")
        kept = heir.setup.kept
        now, wall = time.monotonic(), time.time()
        ahead = location_of_state(kept, self._directory).read_ahead(now, wall) if kept else None
        # What was loaded until now stays, so that no collection has to look at it.
        gc.collect()
        gc.freeze()
        self._say(OPENED)
        heir.plane.changes = self._await(YOURS)
        return heir._replace(ahead=ahead)

    def run(self) -> None:
        """Say that this gateway runs, and wait until the predecessor gives up its place."""
        self._say(RUNNING)
        self._await(GO)
        self._has_ended = True
        if self._plane is not None:
            self._plane.keep()
        with suppress(OSError):  # it may have ended by now, which it may
            self._link.say(TAKEN)

    def when_over(self, loop: Loop, callback: Callable[[], object]) -> None:
        """Call back once when the predecessor has ended."""

        def over() -> None:
            loop.unwatch(self._link.fileno())
            self._link.close()
            callback()

        loop.watch(self._link.fileno(), over)

    def _say(self, word: str, value: Any = None) -> None:
        """Raises PlaneError."""
        try:
            self._link.say(word, value)
        except OSError as error:
            raise PlaneError(HAS_ENDED) from error

    def _await(self, word: str) -> Any:
        """Return the value that comes with this word. Raises PlaneError if another one comes."""
        heard = self._link.hear()
        if heard.word != word:
            raise PlaneError(HAS_ENDED)
        return heard.value

    def _fail(self, reason: str) -> None:
        for each in reason.split("\n"):  # each mistake of a configuration has its line
            log.error("this process does not take over: %s", each)
        with suppress(OSError):
            self._link.say(FAILED, reason[:LONGEST_REASON])
        logging.shutdown()
        os._exit(1)
