"""Reads the host's firewall at the start and after each change, and reports what obstructs the gateway.

The tools run in a thread, and what they say is read and judged there, so that no packet waits for thousands of rules. A
question waits for the next reading if the rules may have changed: one reading serves all who have asked meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.policy import Forward
from ipmasq.core.views import Passage
from ipmasq.gateway.aside import Aside, Piece
from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.findings import MOST_FORWARDS, findings, obstructions
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

PATIENCE = 5.0
"""Seconds for which an answer waits for the tools. After that, it is by the rules that were read last."""

GAP = 1.0
"""The fewest seconds between the end of one reading and the beginning of the next, however many questions there are."""

PLANE_EVERY = 1.0
"""Seconds between two checks whether packets take another way."""

Waiting: TypeAlias = Generator[None, None, tuple[Finding, ...]]
"""Yields until it is known what is found, and returns that."""

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>
NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7


class _Judged(NamedTuple):
    """What was found in rules for these interfaces."""

    tables: Sequence[Table]
    where: Where
    translated: bool
    """Whether the kernel translates packets that the gateway translates."""
    found: tuple[Finding, ...]


class FirewallWatch:
    def __init__(
        self,
        loop: Loop,
        where: Callable[[], Where],
        emit: Callable[[Event], object],
        pass_twice: Callable[[bool], object] = lambda _: None,
        forwards: Callable[[], Iterable[Forward]] = tuple,
        read: Callable[[], Sequence[Table]] = read_tables,
    ) -> None:
        """`where` returns the present interfaces. `pass_twice` is called with True if the kernel would
        translate packets that pass its firewall once, and with False when it no longer would. `forwards` returns
        the published servers."""
        self._loop, self._where, self._emit, self._read = loop, where, emit, read
        self._pass_twice, self._forwards = pass_twice, forwards
        self._tables: Sequence[Table] = ()
        self._translated = False
        self._judged: Where | None = None
        self.found: tuple[Finding, ...] = ()
        self._changes = _changes()
        self._reader, self._judge = Aside(loop, GAP), Aside(loop)
        self._reading: Piece[_Judged] | None = None
        """The latest reading that is under way, or waits for its turn."""
        self._due: Timer | None = None
        self._changed_at = 0.0

    def begin(self) -> None:
        """Read the rules now, and again after each change."""
        if self._changes is not None:
            self._loop.watch(self._changes.fileno(), self._changed)
        self._loop.every(LEGACY_EVERY, self._look_at_legacy)
        self._loop.every(PLANE_EVERY, self._look_at_plane)
        if not self._accept(self._loop.meanwhile(self._evaluation(self._read))):
            self.judge()

    def end(self) -> None:
        if self._changes is not None:
            self._loop.unwatch(self._changes.fileno())
            self._changes.close()
            self._changes = None
        self._reader.end()
        self._judge.end()

    def look(self) -> None:
        """Read the rules again, and report changes."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._reading is None or self._reading.has_begun:
            read = self._read
            self._reading = self._reader.do(lambda: self._evaluation(read), self._have_read)

    def judge(self) -> None:
        """Evaluate the rules that were read last for the present interfaces, and wait for that. Only for changes of the
        configuration or of interfaces, since packets wait as well."""
        tables = self._tables
        if not self._accept(self._evaluation(lambda: tables)()):
            self._accept(self._evaluation(lambda: tables)())

    def _evaluation(self, read: Callable[[], Sequence[Table]]) -> Callable[[], _Judged]:
        """Return what reads rules and evaluates them for the interfaces of now. It can be called in any thread."""
        where, forwards = self._where(), tuple(islice(self._forwards(), MOST_FORWARDS))

        def evaluate() -> _Judged:
            tables = read()
            translated = any(translates(table, where) for table in tables)
            found = findings(tables, where, forwards, interface_to)
            return _Judged(tables, where, translated, found)

        return evaluate

    def _accept(self, judged: _Judged) -> bool:
        """Let these rules be the present ones, and report what is found. Return False, and report nothing, if the
        interfaces are not those any more, perhaps since packets have to pass twice now."""
        self._tables = judged.tables
        if judged.translated or self._translated:
            self._pass_twice(judged.translated)
        self._translated = judged.translated
        if judged.where != self._where():
            return False
        before, self.found, self._judged = self.found, judged.found, judged.where
        for each in self.found:
            if each not in before:
                self._emit(events.FirewallObstructed(self._loop.clock(), *each[:3]))
        if before and not self.found:
            self._emit(events.FirewallCleared(self._loop.clock()))
        return True

    def status(self) -> dict[str, Any]:
        """Return what is found as text, and whether packets passed once or twice when it was."""
        once = self._judged is not None and self._judged.once
        passed = "once" if once else "twice"
        return {"firewall": [str(each) for each in self.found], "firewall_passed": passed}

    def obstructions(self, of: Passage | Forward) -> Waiting:
        """Find what certainly obstructs this flow, or connections to this published server, by the rules of now."""

        def ways_of(where: Where) -> tuple[Way, ...]:
            if isinstance(of, Forward):
                return of_forward(of, where, interface_to)
            return passed(of, where, interface_to)

        return self._ask(ways_of, Ends.to(of) if isinstance(of, Forward) else Ends.of(of))

    def _ask(self, ways_of: Callable[[Where], tuple[Way, ...]], ends: Ends) -> Waiting:
        tables = yield from self._present()

        def prepare() -> Callable[[], tuple[Finding, ...]]:
            where = self._where()
            return lambda: obstructions(tables, where, ways_of, ends)

        return (yield from self._judge.wait(self._judge.do(prepare)))

    def _present(self) -> Generator[None, None, Sequence[Table]]:
        """Return the rules, those that were changed a moment ago included. Waits for the tools only then, and not for
        ever: after that, the rules that were read last are returned."""
        self._notice()
        if self._due is not None or has_legacy():
            self.look()
        reading, until = self._reading, self._loop.clock() + PATIENCE
        while reading is not None and not reading.is_done and self._loop.clock() < until:
            yield
        return self._tables

    def _have_read(self, reading: Piece[_Judged]) -> None:
        if self._reading is reading:
            self._reading = None
        if not self._accept(reading.result()):
            self.look()

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
