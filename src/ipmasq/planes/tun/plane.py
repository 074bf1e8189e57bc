"""The live plane: steers packets to its devices, receives and sends them, and restores the host."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from pyroute2 import IPRoute

from ipmasq.core.policy import Claim
from ipmasq.core.side import Side
from ipmasq.planes.fastpath import FastPath, NoFastPath
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun import changes, local_rule, record, settings
from ipmasq.planes.tun.devices import Devices, lent_pins
from ipmasq.planes.tun.explained import explained
from ipmasq.planes.tun.host import LONGEST, bring_up, check_room, follow_mtu, own_addresses
from ipmasq.planes.tun.journal import Journal
from ipmasq.planes.tun.pinning import pins_directory, unpin
from ipmasq.planes.tun.reentry import ReEntry, open_reentry
from ipmasq.planes.tun.routing import Routing
from ipmasq.planes.tun.rules import Rules
from ipmasq.planes.tun.start import WITHOUT, Start
from ipmasq.planes.tun.steering import (
    DEVICE,
    HOST_DEVICE,
    HostState,
    base_rules,
    claim_rules,
    proxied,
    reserved,
)
from ipmasq.planes.tun.unclaimed import forget_unclaimed
from ipmasq.planes.tun.unrecorded import adopt
from ipmasq.planes.tun.vnet import SIZE, header_for, packet_from
from ipmasq.planes.tun.watched import Restored, Watched
from ipmasq.wire.addresses import Address, Network
from ipmasq.wire.packet import Packet

log = logging.getLogger("ipmasq")


class TunPlane:
    """A LivePlane that may have a fast path. `outside` and `inside` are interface names; `networks` are those
    of the inside hosts."""

    ttl_delta = 1

    def __init__(
        self,
        outside: str,
        inside: Sequence[str],
        networks: Sequence[Network],
        directory: Path = record.DIRECTORY,
        wanted: Start = WITHOUT,
        grace: float = 0.0,
        is_heir: bool = False,
    ) -> None:
        """If `grace` is not 0, a successor can take over within so many seconds after the end of this process, however
        that ends, unless it is closed. `is_heir`: take over from an earlier process, if it has left something."""
        self.fast: FastPath = WITHOUT
        """The running fast path; none unless the plane is open."""
        self._wanted = wanted
        self.grace, self._is_heir = grace, is_heir
        self.where = HostState(outside, tuple(inside), tuple(networks), frozenset())
        self._directory = directory
        self._claims: tuple[Claim, ...] = ()
        self._silent: frozenset[Address] = frozenset()
        self._forwarding: tuple[str, ...] = ()
        self._restored: tuple[Restored, ...] = ()
        self.inherits = False
        """Whether an earlier process's changes were adopted, and the claims are not known yet."""
        self._unmarked = 0
        """See `exempt`."""
        self._devices = Devices(directory)
        self._kernel: IPRoute | None = None
        self._journal: Journal | None = None
        self._rules: Rules | None = None
        self._settings: Watched | None = None
        self._routing: Routing | None = None
        self._reentry: ReEntry | None = None
        self._buffers = memoryview(bytearray(SIZE)), memoryview(bytearray(LONGEST))
        """For the virtio header and the packet."""
        self.unsent = 0
        """The number of packets that the kernel refused to accept."""
        self.lock = -1
        """The descriptor of the lock of this network namespace, if this process has it or it was lent to it."""
        self._lent_device = -1
        """That of the re-entry's device, if it was lent to this process."""
        self.changes: Sequence[int] | None = None
        """What a predecessor has changed in the fast path's table since this one was opened beside it; None: anything."""
        self.late: Start = WITHOUT
        """The fast path that is to be started when the predecessor has ended, whose programs cannot be exchanged."""
        self.borrows = False
        """Whether a predecessor may go on with everything. Then nothing is undone, whatever fails."""
        self._is_lent = False
        """Whether a successor may open the plane. Then this one changes nothing of the host."""

    # -- moving packets ---------------------------------------------------------------------------

    def descriptors(self) -> Sequence[int]:
        return (*self._devices.sides, *self.fast.descriptors())

    def receive(self, descriptor: int) -> tuple[Packet, Side] | None:
        """Receive a packet. Raises PlaneError if the device was removed."""
        side = self._devices.sides.get(descriptor)
        if side is None:
            self.fast.look()
            return None
        try:
            size = os.readv(descriptor, self._buffers)
        except BlockingIOError:
            return None
        except OSError as error:
            raise PlaneError(f"the device {DEVICE[side]} is gone: {error.strerror}") from error
        header, data = self._buffers
        return packet_from(header, data[: size - SIZE]), side

    def send(self, packet: Packet, side: Side) -> None:
        try:
            os.writev(self._devices.descriptors[side], (header_for(packet), packet.data))
        except OSError:
            self.unsent += 1

    def hand_back(self, packet: Packet, side: Side) -> None:
        """Leave a packet to the host itself. One from outside comes in by the outside interface once more."""
        if side is Side.INSIDE or self._reentry is None:
            self.send(packet, side)
            return
        try:
            self._reentry.send(packet)
        except OSError:
            self.unsent += 1

    @property
    def renames(self) -> bool:
        """Whether packets from outside that are returned to the host come in by another interface."""
        return self._reentry is None

    # -- the host's routing -----------------------------------------------------------------------

    def open(self) -> None:
        """Open it. If it is open beside that of a predecessor, see only what that has done since."""
        if self.borrows and self._journal is not None:
            self.fast.look_again(self.changes)
            return
        try:
            with explained():
                self._open()
            if self.borrows and self._devices.pins is None:
                self.late, self._wanted = self._wanted, WITHOUT
            self.fast = self._wanted.start(self)
            if not self.fast.table.capacity:
                self.unpin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Restore the host. Raises PlaneError if something could not be undone."""
        if self.borrows:
            return
        try:
            self._end_fast_path()
        finally:
            self._close(Journal.close, self._devices.close)

    def leave(self) -> None:
        """Leave everything to a successor, which has to come within the grace time."""
        self.fast.leave()
        self.fast = WITHOUT
        self._close(Journal.leave, self._devices.leave)

    def borrow(self, lock: int, device: int) -> None:
        """Load programs beside the predecessor, which has lent its lock and its re-entry's device. Raises PlaneError."""
        self.borrows, self.lock, self._lent_device = True, lock, device
        with explained():
            self._kernel = IPRoute()
            with lent_pins(self._directory) as pins:
                self._wanted = self._wanted.inherit(self, pins)

    @property
    def reentry_device(self) -> int:
        """The descriptor of the re-entry's device, to lend it; -1 if there is none."""
        return self._reentry.device if self._reentry is not None else -1

    def keep(self) -> None:
        """Keep what was borrowed, since the predecessor does not go on."""
        self.borrows = False
        self._open_journal.sign()

    def lend(self) -> None:
        """Let a successor open it, beside this one, which moves packets, but changes nothing of the host."""
        self._is_lent = True
        self.fast.note_changes()

    def take_back(self) -> None:
        """Open it anew after `lend`, since a successor that has ended may have changed anything. Raises PlaneError."""
        self.fast.leave()
        self.fast = WITHOUT
        self._close(Journal.lend, self._devices.lend)
        self._is_heir = True
        self.open()
        self.keep()  # the successor may have signed as the holder of the lock

    def _close(self, end: Callable[[Journal], object], release: Callable[[], None]) -> None:
        kernel, self._kernel = self._kernel, None
        journal, self._journal, self._settings = self._journal, None, None
        routing, self._routing = self._routing, None
        reentry, self._reentry = self._reentry, None
        try:
            if journal:
                end(journal)
        finally:
            release()
            self._rules, self._unmarked = None, 0
            for each in (reentry, routing, kernel):
                if each:
                    each.close()

    def claim(self, claims: Sequence[Claim], silent: Collection[Address] = ()) -> None:
        """Set the claims. Raises PlaneError if they leave the host no port for its own connections; then
        nothing has changed."""
        if self._is_lent:
            return
        with explained():
            own = own_addresses(self.kernel)
            taken = reserved(claims, own)
            check_room(taken)
            self._claims, self._silent, self.inherits = tuple(claims), frozenset(silent), False
            self._restored += self._watched.restore()
            self._steer()

    def rearrange(self, outside: str, inside: Sequence[str], networks: Sequence[Network]) -> None:
        """Serve other interfaces or other networks. Raises PlaneError."""
        self.where = HostState(outside, tuple(inside), tuple(networks), self.where.own)
        self.refresh()

    def refresh(self) -> None:
        """Follow a change of interfaces or addresses. Raises PlaneError."""
        if self._is_lent:
            return
        with explained():
            # First, or other software's changes would be overwritten without a report.
            self._restored += self._watched.restore()
            follow_mtu(self.kernel, self.where)
            self._watched.follow_rp_filters()
            self._steer()
        self.fast.follow()

    def log_settings(self) -> None:
        """Log the settings that were changed for the first time since the last call."""
        if new := ", ".join(map(str, self._open_journal.new_settings())):
            log.info("kernel settings that are changed until the gateway stops: %s", new)

    def restore(self) -> tuple[Restored, ...]:
        """Restore settings, rules and routes that other software has changed, and return them. Raises PlaneError."""
        if self._is_lent:
            return ()
        self._devices.look()
        with explained():
            found, self._restored = (*self._restored, *self._watched.restore()), ()
            if self._routing is not None and self._rules is not None:
                found += self._routing.restore(self.kernel, self._rules.made)
        if found:
            self.fast.forget_hops()
        return found

    def exempt(self, mark: int) -> None:
        """Do not bring packets to the engine whose mark has a bit of this one. 0: bring all packets."""
        self._unmarked = mark
        if mark:
            interfaces = self.where.outside, *self.where.inside
            self._watched.set(settings.judging_sources_by_marks(interfaces))
        self._steer()

    # -- the fast path

    def lacks(self, wanted: Start) -> bool:
        """Return whether `change` has something to do."""
        return wanted != self._wanted or bool(self.fast.trouble)

    def change(self, wanted: Start) -> None:
        """Replace the fast path. In between, every packet comes to the engine. The counters start at zero.

        Raises PlaneError; then the previous one is restored as far as possible.
        """
        before, self._wanted = self._wanted, wanted
        self._end_fast_path()
        try:
            self.fast = wanted.start(self)
        except PlaneError:
            self._wanted = before
            try:
                self.fast = before.start(self)
            except PlaneError as error:
                self.fast = NoFastPath(str(error))
                log.error("without a fast path: %s", error)
            raise

    def _end_fast_path(self) -> None:
        fast, self.fast = self.fast, WITHOUT
        fast.close()

    @property
    def kernel(self) -> IPRoute:
        if self._kernel is None:
            raise PlaneError("the plane is not open")
        return self._kernel

    @property
    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise PlaneError("the plane is not open")
        return self._journal

    @property
    def _watched(self) -> Watched:
        if self._settings is None:
            raise PlaneError("the plane is not open")
        return self._settings

    def _open(self) -> None:
        kernel = self._kernel = self._kernel or IPRoute()
        if not self._is_lent:
            self._devices = Devices(self._directory)
        self._is_lent = False
        self._journal = Journal(kernel, self._directory, self._take_devices, self.lock)
        self.lock = self._journal.lock
        self._settings = Watched(self._journal)
        if found := self._journal.leftovers:
            text = changes.told(found)
            log.warning("a gateway was killed here and had left its changes, undone now: %s", text)
        for name in (self.where.outside, *self.where.inside):
            if not kernel.link_lookup(ifname=name):
                raise PlaneError(f"there is no interface {name}")
        self.inherits = bool(self._journal.adopted)
        self._devices.open(self.grace)
        self._rules = Rules(adopt(kernel, self._journal, self._devices))
        for name in DEVICE.values():
            self._settings.own(settings.for_own_device(name))
        follow_mtu(self.kernel, self.where)
        self._settings.follow_rp_filters()
        bring_up(kernel, self._journal)
        self._settings.set(settings.without_early_demux())
        self._reentry = open_reentry(kernel, self.where.outside, self._lent_device)
        self._lent_device = -1
        self._settings.own(settings.without_ipv6(HOST_DEVICE))
        self._routing = Routing()
        local_rule.make_room(kernel, self._journal)
        if not self.inherits:
            self._steer()

    def _take_devices(self) -> bool:
        """Return whether the changes of an earlier process can be adopted, since its devices exist."""
        if self.borrows:
            self._devices.borrow()
        elif not self._is_heir:
            self._devices.release()
        return self.borrows or (self._is_heir and self._devices.take())

    def pins(self) -> Path | None:
        """Return a directory of a bpffs in which programs and maps can be pinned; None if they are to end with this
        process. Raises OSError if that is not possible."""
        return pins_directory(self._open_journal, self._devices) if self.grace else None

    def unpin(self) -> None:
        """Remove all pins of this network namespace."""
        if self._journal is not None and not self.borrows:
            with explained():
                unpin(self._journal, self._devices)

    def _steer(self) -> None:
        """Update the routing rules for the present interfaces and claims: first add, then remove."""
        kernel, made = self.kernel, self._rules
        assert made is not None
        where = self.where = replace(self.where, own=own_addresses(kernel))
        rules = (
            *base_rules(where, self._unmarked),
            *claim_rules(where, self._claims, self._unmarked),
        )
        made.set(rules, not self.inherits)
        if self._reentry is not None:
            self._reentry.follow(where.outside)
        if not self.inherits:
            addresses = [a for a in proxied(where, self._claims) if a not in self._silent]
            indices = kernel.link_lookup(ifname=where.outside)
            if addresses and indices:
                self._watched.set(settings.proxying(where.outside))
            made.answer_for(kernel, addresses, indices)
        forwarding = settings.forwarding((where.outside, *where.inside))
        self._watched.leave(path for path in self._forwarding if path not in forwarding)
        self._watched.set(forwarding)
        self._forwarding = tuple(forwarding)
        if not self.inherits:
            self._watched.reserve(reserved(self._claims, where.own))
        forget_unclaimed(kernel)
