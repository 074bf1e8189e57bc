"""Reads the host's firewall at the start and after each change, and reports what obstructs the gateway."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.policy import Forward
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.findings import findings, obstructions
from ipmasq.gateway.firewall.masquerading import translates
from ipmasq.gateway.firewall.reading import has_legacy, read_tables
from ipmasq.gateway.firewall.ways import Ends, Way, Where, of_forward, passed
from ipmasq.gateway.loop import Loop, Timer
from ipmasq.wire.addresses import Address, to_text

SETTLING = 0.5
"""Seconds without a change after which rules are read: rule sets are loaded table by table, and by ufw rule
by rule."""

LONGEST = 5.0
"""Seconds after the first change when they are read in any case."""

LEGACY_EVERY = 10.0
"""Seconds between two checks of changes that are not notified."""

BRIEF = 1.0
"""Seconds for which an answer waits for the tools: no packet is forwarded meanwhile."""

PLANE_EVERY = 1.0
"""Seconds between two checks whether packets take another way."""

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>
NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7


class FirewallWatch:
    """Runs the tools that read rules in a thread, since they take some time."""

    def __init__(
        self,
        loop: Loop,
        where: Callable[[], Where],
        tell: Callable[[Event], object],
        pass_twice: Callable[[bool], object] = lambda _: None,
        forwards: Callable[[], Iterable[Forward]] = tuple,
        read: Callable[[], Sequence[Table]] = read_tables,
    ) -> None:
        """`where` returns the present interfaces. `pass_twice` is called with True if the kernel would
        translate packets that pass its firewall once, and with False when it no longer would. `forwards` returns
        the published servers."""
        self._loop, self._where, self._tell, self._read = loop, where, tell, read
        self._pass_twice, self._forwards = pass_twice, forwards
        self._judged: Where | None = None
        self._translated = False
        self.found: tuple[Finding, ...] = ()
        self._changes = _changes()
        self._done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._tables: Sequence[Table] = ()
        self._thread: threading.Thread | None = None
        self._again = False
        self._due: Timer | None = None
        self._changed_at = 0.0

    def begin(self) -> None:
        """Read the rules now, and again after each change."""
        if self._changes is not None:
            self._loop.watch(self._changes.fileno(), self._changed)
        self._loop.watch(self._done, self._have_read)
        self._loop.every(LEGACY_EVERY, self._look_at_legacy)
        self._loop.every(PLANE_EVERY, self._look_at_plane)
        self._tables = self._loop.meanwhile(self._read)
        self.judge()

    def end(self) -> None:
        self._loop.unwatch(self._done)
        if self._changes is not None:
            self._loop.unwatch(self._changes.fileno())
            self._changes.close()
            self._changes = None
        if self._thread is not None:
            self._thread.join()
        os.close(self._done)
        self._done = -1

    def look(self) -> None:
        """Read the rules again, and report changes."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._again = self._thread is not None
        if self._thread is None and self._done >= 0:
            self._thread = threading.Thread(target=self._wait, daemon=True)
            self._thread.start()

    def judge(self) -> None:
        """Evaluate the rules that were read last for the present interfaces."""
        translated = any(translates(table, self._where()) for table in self._tables)
        if translated or self._translated:
            self._pass_twice(translated)
        self._translated = translated
        self._judged = self._where()
        before, self.found = (
            self.found,
            findings(self._tables, self._judged, self._forwards(), interface_to),
        )
        for each in self.found:
            if each not in before:
                self._tell(events.FirewallObstructed(self._loop.clock(), *each[:3]))
        if before and not self.found:
            self._tell(events.FirewallCleared(self._loop.clock()))

    def status(self) -> dict[str, Any]:
        """Return what is found as text, and whether packets passed once or twice when it was."""
        once = self._judged is not None and self._judged.once
        passed = "once" if once else "twice"
        return {"firewall": [str(each) for each in self.found], "firewall_passed": passed}

    def obstructions(self, passage: Passage) -> tuple[Finding, ...]:
        """Return what certainly obstructs this flow, by the rules of now."""
        where = self._where()

        def ways_of(where: Where) -> tuple[Way, ...]:
            return passed(passage, where, interface_to)

        return obstructions(self._present(), where, ways_of, Ends.of(passage))

    def about(self, forward: Forward) -> tuple[Finding, ...]:
        """Return what certainly obstructs connections to this published server."""
        where = self._where()

        def ways_of(where: Where) -> tuple[Way, ...]:
            return of_forward(forward, where, interface_to)

        return obstructions(self._present(), where, ways_of, Ends.to(forward))

    def _present(self) -> Sequence[Table]:
        """Return the rules, those that were changed a moment ago included. Waits for the tools only then, and not for
        long: after that, the rules that were read last are returned."""
        self._notice()
        if self._due is not None or has_legacy():
            self.look()
        until = self._loop.clock() + BRIEF
        while self._thread is not None:
            self._thread.join(max(0.0, until - self._loop.clock()))
            if self._thread.is_alive():
                break
            self._have_read()
        return self._tables

    def _wait(self) -> None:
        try:
            self._tables = self._read()
        finally:
            os.eventfd_write(self._done, 1)

    def _have_read(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._done)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._again:
            self.look()
        self.judge()

    def _notice(self) -> None:
        """Notice a change of which the loop has not been told yet."""
        with suppress(OSError):
            if self._changes is not None and self._changes.recv(1, socket.MSG_PEEK):
                self._changed()

    def _changed(self) -> None:
        with suppress(OSError):  # ENOBUFS: some messages were lost, which does no harm
            while self._changes is not None and self._changes.recv(65536):
                pass
        now = self._loop.clock()
        if self._due is None:
            self._changed_at = now
        elif now - self._changed_at < LONGEST:
            self._due.cancel()
        else:
            return
        self._due = self._loop.later(SETTLING, self.look)

    def _look_at_plane(self) -> None:
        if self._judged != self._where():
            self.look()

    def _look_at_legacy(self) -> None:
        if self._due is None and has_legacy():
            self.look()


def interface_to(address: Address) -> str | None:
    """Return the interface by which the host reaches an address."""
    with suppress(OSError, NetlinkError), IPRoute() as kernel:
        for route in kernel.route("get", dst=to_text(address)):
            return kernel.get_links(route.get_attr("RTA_OIF"))[0].get_attr("IFLA_IFNAME")  # type: ignore[no-any-return]
    return None


def _changes() -> socket.socket | None:
    """Return a socket that is readable when a rule of nftables, or of iptables-nft, has changed; None if the
    kernel has no netfilter."""
    try:
        changes = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER
        )
        changes.bind((0, 1 << (NFNLGRP_NFTABLES - 1)))
    except OSError:
        return None
    return changes
