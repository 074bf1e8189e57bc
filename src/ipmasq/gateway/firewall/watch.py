"""Looks at the host's firewall at the start and whenever it changes, and tells what is in the gateway's way."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.policy import Forward
from ipmasq.core.views import Passage
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.findings import Finding, findings, obstructions, translates
from ipmasq.gateway.firewall.reading import has_legacy, read_tables
from ipmasq.gateway.firewall.ways import Ends, Where, hairpin, inside_interface, passed, published
from ipmasq.gateway.loop import Loop, Timer
from ipmasq.wire.addresses import Address, to_text

SETTLING = 0.5
"""Seconds without a change after which rules are read: rule sets are loaded table by table, and by ufw rule by rule."""

LONGEST = 5.0
"""Seconds after the first change when they are read in any case."""

LEGACY_EVERY = 10.0
"""Seconds between two looks at what the kernel tells no one of."""

PLANE_EVERY = 1.0
"""Seconds between two looks whether packets go another way by now."""

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>
NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7


class FirewallWatch:
    """The tools that read rules take their time, so a thread waits for them."""

    def __init__(
        self,
        loop: Loop,
        where: Callable[[], Where],
        tell: Callable[[Event], object],
        pass_twice: Callable[[bool], object] = lambda _: None,
        read: Callable[[], Sequence[Table]] = read_tables,
    ) -> None:
        """`where`: the interfaces as they are now. `pass_twice`: called with True where the kernel would
        translate packets that pass its firewall once, and with False where it no longer would."""
        self._loop, self._where, self._tell, self._read = loop, where, tell, read
        self._pass_twice = pass_twice
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
        """Look now, and from now on whenever something has changed."""
        if self._changes is not None:
            self._loop.watch(self._changes.fileno(), self._changed)
        self._loop.watch(self._done, self._have_read)
        self._loop.every(LEGACY_EVERY, self._look_at_legacy)
        self._loop.every(PLANE_EVERY, self._look_at_plane)
        self._tables = self._read()  # at once: nothing is lost if packets wait now
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
        """Read the rules anew, and tell what is different."""
        self._due = None
        self._again = self._thread is not None
        if self._thread is None and self._done >= 0:
            self._thread = threading.Thread(target=self._wait, daemon=True)
            self._thread.start()

    def judge(self) -> None:
        """The interfaces may be others by now; the rules are those that were read last."""
        translated = any(translates(table, self._where()) for table in self._tables)
        if translated or self._translated:
            self._pass_twice(translated)
        self._translated = translated
        self._judged = self._where()
        before, self.found = self.found, findings(self._tables, self._judged)
        for each in self.found:
            if each not in before:
                self._tell(events.FirewallObstructed(self._loop.clock(), *each))
        if before and not self.found:
            self._tell(events.FirewallCleared(self._loop.clock()))

    def obstructions(self, passage: Passage) -> tuple[Finding, ...]:
        """What is in the way of this flow for certain, by the rules as they were read last."""
        where = self._where()
        ways = passed(passage, where, interface_to)
        return obstructions(self._tables, where, ways, Ends.of(passage))

    def about(self, forward: Forward) -> tuple[Finding, ...]:
        """What is in the way of connections to this published server for certain."""
        where = self._where()
        left = inside_interface(forward.inside, where, interface_to)
        ways = [*published(where, left)]
        ways += [way for entered in where.inside for way in hairpin(entered, left)]
        return obstructions(self._tables, where, ways, Ends.to(forward))

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

    def _changed(self) -> None:
        with suppress(OSError):  # ENOBUFS: some were lost, which does no harm
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
    """By which interface the host reaches it."""
    with suppress(OSError, NetlinkError), IPRoute() as kernel:
        for route in kernel.route("get", dst=to_text(address)):
            return kernel.get_links(route.get_attr("RTA_OIF"))[0].get_attr("IFLA_IFNAME")  # type: ignore[no-any-return]
    return None


def _changes() -> socket.socket | None:
    """Readable when a rule of nftables, or of the iptables above it, has changed; None where the kernel
    has no netfilter."""
    try:
        changes = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER
        )
        changes.bind((0, 1 << (NFNLGRP_NFTABLES - 1)))
    except OSError:
        return None
    return changes
