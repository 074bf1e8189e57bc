"""A planned change to another process: the predecessor's side of a handover (see `handover`).

The successor gets ready and opens the plane while this process forwards. Then this one writes the state and looks at the
successor, without handling anything else, until that runs; or it ends the successor, whatever that has done, and goes on
itself.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ipmasq.gateway.handover import (
    FAILED,
    GO,
    OPEN,
    OPENED,
    READY,
    RUNNING,
    SOCKETS,
    TAKEN,
    YOURS,
    Link,
    Message,
)
from ipmasq.gateway.health import Reloads
from ipmasq.gateway.heir import OPTION
from ipmasq.gateway.host import notify_systemd, tell_main_process
from ipmasq.gateway.lending import Lending, differences
from ipmasq.gateway.loop import Loop, Timer
from ipmasq.planes.plane import PlaneError

log = logging.getLogger("ipmasq")

PATIENCE = 60.0
"""Seconds that a successor may take to get ready."""

TAKING = 20.0
"""Seconds that it may take from then on until it runs."""

COMPACTING, LOOK = 3.0, 0.01
"""Seconds for which the handover waits at most until the state is compact, and between two looks at it."""

ENDING = 1.0
"""Seconds in which a successor that has closed its end may end by itself, and say how."""

GLANCE = 1.0
"""Seconds between two signs of life to systemd meanwhile."""

UNDER_WAY = "an upgrade is under way: reload when it is done"

PASSED_ON = signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP


class Upgrade:
    """The successor of this process, if one was asked for."""

    def __init__(
        self,
        loop: Loop,
        lending: Lending,
        reloads: Reloads,
        command: Sequence[str],
    ) -> None:
        """`command` runs a gateway as this process was run."""
        self._loop, self._lending, self._reloads = loop, lending, reloads
        self._command = tuple(command)
        self.left: Callable[[], object] = lambda: None
        """Called when nothing is handled any more, before the successor takes over."""
        self.taken_back: Callable[[], object] = lambda: None
        """Called when it has failed, whether anything was left to it or not."""
        self.succeeded: Callable[[], object] = lambda: None
        """Called when it runs."""
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None
        self._deadline: Timer | None = None
        self._awaited: str | None = READY
        """What the successor must say next; None: nothing."""
        self._is_shared = False
        """Whether the successor may have changed something of the host."""
        self.sockets: tuple[Path, ...] = ()
        """Where the last successor may have left sockets that nobody serves."""
        self.has_left = False
        """Whether the successor is the gateway, so that this process has nothing to undo."""
        self.trouble = ""
        """Why the last successor did not take over."""
        self.details: tuple[str, ...] = ()
        """A sentence for each of the reasons, if there are several; then `trouble` does not have them."""
        self.is_lost = False
        """Whether what was lent could not be taken back. Then this process ends as if it was killed: the next one finds
        everything, or the keeper undoes it."""
        self.waited = 0.0
        """Seconds for which no packet was handled, as far as this process knows."""

    @property
    def is_under_way(self) -> bool:
        return self._process is not None

    @property
    def hindrance(self) -> str:
        """Why no upgrade can begin now, as a sentence; empty if one can."""
        if self.is_under_way:
            return "another upgrade is under way"
        if os.getpid() == 1:
            return (
                "this gateway is process 1 of a container, which ends with it: end it with ipmasq stop --keep,"
                " and start a new container"
            )
        return self._lending.hindrance

    @property
    def successor(self) -> int:
        """The process of the successor, while there is one."""
        return self._process.pid if self._process is not None else 0

    def begin(self) -> None:
        """Start the successor. Raises OSError; then nothing has begun."""
        link, its = Link.pair()
        given = its.fileno(), *self._lending.descriptors
        # systemd's watchdog is to be told by the main process, whichever that is.
        environment = {name: os.environ[name] for name in os.environ if name != "WATCHDOG_PID"}
        try:
            self._process = subprocess.Popen(
                [*self._command, OPTION, ",".join(map(str, given))],
                stdin=subprocess.DEVNULL,
                pass_fds=[each for each in given if each >= 0],
                env=environment,
            )
        except OSError:
            link.close()
            raise
        finally:
            its.close()
        self._link, self.trouble, self._reloads.barred = link, "", UNDER_WAY
        self.details = ()
        self._awaited, self.sockets = READY, ()
        log.info("process %d is started to take over", self._process.pid)
        self._lending.get_ready()
        self._loop.watch(link.fileno(), self._read)
        self._deadline = self._loop.later(PATIENCE, partial(self._give_up, _late(PATIENCE)))

    def end(self) -> None:
        """End a successor that has not taken over, since this gateway ends. Raises PlaneError if what it has left cannot
        be taken back."""
        if self._process is not None and not self.has_left:
            self._end_successor()

    # -- while both run

    def _read(self) -> None:
        assert self._link is not None
        heard = self._link.hear(0.0)
        if heard.word != self._awaited:
            self._give_up(_said(heard))
        elif self._lending.hindrance:
            self._give_up(self._lending.hindrance)
        elif heard.word == READY:
            self._agree(heard.value or {})
        else:
            self._awaited = None
            self._loop.afterwards(self._hand_over)

    def _agree(self, facts: Mapping[str, Any]) -> None:
        """Go on if the successor is to do the same as this process."""
        if found := differences(self._lending.facts, facts):
            self._give_up(
                f"its configuration differs in what both must agree on: {found}; restart instead"
            )
            return
        self.sockets, self._awaited = tuple(map(Path, facts.get(SOCKETS, ()))), None
        self._lending.get_ready()  # again: much may have been written since the first time
        self._share_when_compact(self.successor, time.monotonic() + COMPACTING)

    def _share_when_compact(self, successor: int, deadline: float) -> None:
        """Let the successor open the plane and read the state, as soon as there is little to read."""
        if self._link is None or self.successor != successor:
            return  # it has ended meanwhile
        if not self._lending.is_ready() and time.monotonic() < deadline:
            self._loop.later(LOOK, partial(self._share_when_compact, successor, deadline))
            return
        self._lending.share()
        self._is_shared, self._awaited = True, OPENED
        with suppress(OSError):  # it has ended, which is read next
            self._link.say(OPEN, self._lending.has_programs)

    @property
    def _is_opened(self) -> bool:
        """Whether the present successor has opened the plane, and waits for this process."""
        return self.is_under_way and self._is_shared and self._awaited is None

    def _give_up(self, reason: str) -> None:
        """Go on without the successor. Raises PlaneError if what it has left cannot be taken back."""
        if not reason and self._process is not None:
            with suppress(subprocess.TimeoutExpired):  # it has closed its end, and is ending
                self._process.wait(ENDING)
        process, code = self._end_successor()
        how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
        reasons = tuple((reason or f"it has ended {how}").split("\n"))
        self.trouble = f"process {process} has not taken over, and this one goes on"
        if len(reasons) == 1:
            self.trouble += f": {reasons[0]}"
        self.details = reasons if len(reasons) > 1 else ()
        for each in (*self.details, self.trouble):
            log.error("%s", each)
        self._reloads.barred = ""
        self.taken_back()
        if self._reloads.is_due:
            self._reloads.is_due = False
            os.kill(os.getpid(), signal.SIGHUP)

    def _end_successor(self) -> tuple[int, int]:
        """Return its process and exit code. Raises PlaneError if what it has left cannot be taken back."""
        assert self._process is not None
        assert self._link is not None
        process, self._process = self._process, None
        if self._deadline is not None:
            self._deadline.cancel()
        self._loop.unwatch(self._link.fileno())
        self._link.close()
        process.kill()
        code = process.wait()
        if self._is_shared:
            self._is_shared = False
            self._take_back()
        return process.pid, code

    def _take_back(self) -> None:
        try:
            self._lending.take_back()
        except Exception as error:
            self.is_lost = True
            raise PlaneError(
                f"what a new process has left cannot be taken back: {error}"
            ) from error

    # -- while neither handles packets

    def _hand_over(self) -> None:
        if not self._is_opened:
            return
        assert self._link is not None
        began = time.monotonic()
        try:
            reason: str | None = self._lending.write()
            self.left()
            reason = reason or self._offer(self._link)
        except Exception as error:  # whatever it is, this gateway goes on
            reason = f"{type(error).__name__}: {error}"
        self.waited = time.monotonic() - began
        if reason is None:
            self._succeed()
        else:
            self._give_up(reason)

    def _offer(self, link: Link) -> str | None:
        """Return why the successor does not run; None if it does."""
        try:
            link.say(YOURS, self._lending.changes)
            heard = self._watch(link)
            if heard.word == RUNNING:
                link.say(GO)
                heard = self._watch(link)
            if heard.word == TAKEN:
                return None
        except TimeoutError:
            return _late(TAKING)
        except OSError:
            return ""
        return _said(heard)

    def _watch(self, link: Link) -> Message:
        """Wait for a message, while systemd is told that this process lives. Raises TimeoutError."""
        deadline = time.monotonic() + TAKING
        while True:
            notify_systemd("WATCHDOG=1")
            left = deadline - time.monotonic()
            try:
                return link.hear(max(0.0, min(GLANCE, left)))
            except TimeoutError:
                if left <= 0:
                    raise

    # -- when the successor runs

    def _succeed(self) -> None:
        self.has_left = True
        for number in PASSED_ON:
            self._loop.on_signal(number, partial(self._pass_on, number))
        self._loop.take_signals()
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        if self._reloads.is_due:
            self._pass_on(signal.SIGHUP)
        # From here on systemd listens to the successor alone (NotifyAccess=main).
        notify_systemd("WATCHDOG=1")
        tell_main_process(self.successor)
        log.info("process %d has taken over", self.successor)
        self.succeeded()
        self._loop.stop()

    def _pass_on(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def leave(self) -> int:
        """Return the exit code of this process when the successor is the gateway: 1 if that has ended already, so that a
        service manager starts another one. Signals that have come meanwhile are the successor's."""
        assert self._process is not None
        for number in signal.sigpending() & set(PASSED_ON):
            self._pass_on(signal.Signals(number))
        return 0 if self._process.poll() is None else 1


def _late(patience: float) -> str:
    return f"it has said nothing for {patience:g} s"


def _said(heard: Message) -> str:
    """Return why a message is no reason to go on; empty if it is the end."""
    if heard.word == FAILED:
        return str(heard.value)
    return f"it has said {heard.word!r} out of turn" if heard.word else ""
