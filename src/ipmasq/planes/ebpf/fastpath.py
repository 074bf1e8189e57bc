"""eBPF programs before the tun plane, which forward packets as the engine has decided.

    inside host -> IN_i --program--> OUT -> remote            offloaded flows, ordinary packets
                        \\--rules--> ipmasq-in -> engine ...   everything else, as without programs

Packets that a program passes on go into the kernel, so the tun plane's rules bring them to the engine with
their side known.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from importlib.resources import files

from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.policy import Limits
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.attach import Attached, attach_tc, attach_xdp
from ipmasq.planes.ebpf.changes import HopChanges
from ipmasq.planes.ebpf.devices import STRICT, Device, look_up, mistakable, rp_filter
from ipmasq.planes.ebpf.exits import Exits
from ipmasq.planes.ebpf.layout import ADMITTED, Hook
from ipmasq.planes.ebpf.migration import Migration, source
from ipmasq.planes.ebpf.once import Once
from ipmasq.planes.ebpf.pins import Pins
from ipmasq.planes.ebpf.policer import Policer, rates
from ipmasq.planes.ebpf.table import GRACE, Table, sizes
from ipmasq.planes.fastpath import Counter, Offender
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.planes.tun.steering import DEVICE

log = logging.getLogger("ipmasq")

OBJECT = "ipmasq.bpf.o"

TROUBLES = {
    errno.EPERM: "loading programs needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
    errno.EACCES: "this kernel's verifier refuses the programs",
    errno.EFAULT: "this kernel's verifier refuses the programs, as it does without CAP_PERFMON",
    errno.EINVAL: "this kernel is too old for the programs",
    errno.ENOSYS: "this kernel has no eBPF",
    errno.E2BIG: "the table for {flows:,} flows is larger than this kernel allows; lower limits.flows",
    errno.ENOMEM: "there is not enough memory for the table of {flows:,} flows; lower limits.flows",
}

XDP_TROUBLES = {
    errno.EOPNOTSUPP: "its driver has none; plane ebpf-xdp-generic does without",
    errno.EBUSY: "another program is there already",
    errno.ERANGE: "its MTU, or that of its other end, is too large for it",
}


class EbpfFastPath:
    """A FastPath."""

    trouble = ""

    def __init__(self, plane: TunPlane, flows: int, xdp: bool | None, generic: bool) -> None:
        """`plane` is open; the rest is as in `ipmasq.planes.ebpf.programs.Programs`. Raises PlaneError; then
        there are no programs."""
        self._plane, self._xdp, self._generic = plane, xdp, generic
        self._attached: dict[tuple[Hook, int], Attached] = {}
        self._migration: Migration | None = None
        """From the table of an earlier process."""
        with ExitStack() as undo:
            # Before any look-up, so that no change is missed.
            self._changes = undo.enter_context(closing(HopChanges()))
            undo.callback(plane.unpin)
            self._load(undo, flows)
            undo.callback(self._end_once)
            undo.callback(self.halt)
            self._begin_to_police()
            self.follow()
            if self._migration is not None:
                self._migration.finish()
            if self._pins is not None:
                self._pins.sweep()
            self._undo = undo.pop_all()
        log.info("the eBPF fast path: %s", self._where())

    def close(self) -> None:
        self._undo.close()

    def leave(self) -> None:
        self._undo.pop_all()  # nothing of it is done
        self.table.heartbeat(time.monotonic())
        for each in (*self._attached.values(), self._policer, self._once):
            if each is not None:
                each.leave()
        for closed in (self._changes, self.table, self._loaded):
            closed.close()

    def halt(self) -> None:
        attached, self._attached = self._attached, {}
        for each in attached.values():
            each.detach(self._plane.kernel)

    def descriptors(self) -> Sequence[int]:
        return (self._changes.fileno(),)

    def look(self) -> None:
        if self._changes.have_come():
            self.forget_hops()

    def forget_hops(self) -> None:
        self._check_reverse_paths()
        self.table.forget_hops()

    def describe(self) -> str:
        return f"ebpf ({self._where()})"

    def _where(self) -> str:
        return ", ".join(f"{hooks} on {name}" for name, hooks in self.hooks.items()) or "nowhere"

    @property
    def hooks(self) -> dict[str, str]:
        """Return where programs are, by interface: `tc`, `tc+xdp` or `tc+xdp-generic`."""
        found: dict[str, str] = {}
        for each in self._attached.values():
            name = each.device.name
            found[name] = f"{found[name]}+{each.where}" if name in found else each.where
        return found

    # -- floods

    def set_rates(self, limits: Limits) -> None:
        self._policer.set_rates(rates(limits))

    def dropped(self) -> int:
        return sum(self._policer.dropped().values())

    def offenders(self) -> Iterator[Offender]:
        return self._policer.offenders()

    def counters(self) -> Iterator[Counter]:
        for (hook, reason), packets in self.table.reasons().items():
            if reason:
                name = f"{hook.name.lower()}.{reason.name.lower()}"
                yield Counter(name, packets, f"passed on by {hook.name}: {reason.sentence}")
        for (side, account), packets in self._policer.dropped().items():
            of = side.name.lower()
            sentence = f"{of}, dropped before the engine: {account.sentence}"
            yield Counter(f"dropped.{of}.{account.name.lower()}", packets, sentence, True)

    # -- programs

    def _load(self, undo: ExitStack, flows: int) -> None:
        """Load the programs. Raises PlaneError."""
        capacity = 2 * flows
        try:
            image = files("ipmasq.planes.ebpf").joinpath(OBJECT).read_bytes()
        except FileNotFoundError:
            raise PlaneError("this package was built without the programs") from None
        directory = self._plane.pins()
        self._pins = pins = Pins(directory, capacity) if directory is not None else None
        try:
            inherited = self._load_with(undo, image, capacity)
            if pins is not None and not inherited:
                pins.keep_maps(self._loaded)
            self._exits = Exits(self._loaded)
            self._once: Once | None = Once(self._loaded, self.table, pins)
            self._policer = Policer(self._loaded, pins)
        except OSError as error:
            if error.errno is None:
                raise PlaneError(f"there is no {libbpf.LIBRARY} (package libbpf1)") from error
            raise PlaneError(_refusal(error, flows)) from error
        undo.callback(self._policer.detach, self._plane.kernel)

    def _load_with(self, undo: ExitStack, image: bytes, capacity: int) -> bool:
        """Load the programs with the maps of an earlier process, if they are to be inherited and have this layout.
        Return whether there are such. Raises OSError."""
        maps: dict[str, int] = {}
        if self._pins is not None and self._plane.inherits:
            maps = self._pins.found_maps()
        try:
            loaded = libbpf.Object(image, sizes(capacity), maps)
        finally:
            for each in maps.values():
                os.close(each)
        self._loaded = undo.enter_context(closing(loaded))
        grace = self._plane.grace or GRACE
        table = Table(loaded, capacity, bool(maps), grace)
        self.table = undo.enter_context(closing(table))
        if not maps:
            self._migrate()
        if table.inherits:
            table.heartbeat(
                time.monotonic()
            )  # the new programs go on with it from the first packet
        return bool(maps)

    def _migrate(self) -> None:
        """Copy what an earlier process has entered into a table of another layout or size."""
        others = self._pins.others() if self._pins is not None and self._plane.inherits else []
        found = source(others)
        if found is not None:
            self._migration = Migration.open(*found, self.table)
        if self._migration is not None:
            slots = self._migration.copy()
            log.info("the fast path has a new table, with %d slots of the old one", slots)
        elif others:
            log.warning("the fast path begins anew: its table has a layout that is not known")

    def _begin_to_police(self) -> None:
        kernel = self._plane.kernel
        devices = {side: look_up(kernel, DEVICE[side]) for side in Side}
        try:
            self._policer.attach(kernel, devices)
        except (OSError, NetlinkError) as error:
            raise PlaneError(f"no program on the way up: {_reason(Hook.TC, error)}") from error

    def follow(self) -> None:
        kernel, where = self._plane.kernel, self._plane.where
        self.table.via(*(kernel.link_lookup(ifname=DEVICE[side])[0] for side in Side))
        sides = {where.outside: Side.OUTSIDE} | dict.fromkeys(where.inside, Side.INSIDE)
        found = {name: look_up(kernel, name) for name in sides}
        wanted = self._wanted((device, sides[name]) for name, device in found.items() if device)
        for key in [key for key in self._attached if key not in wanted]:
            self._attached.pop(key).detach(kernel)
        if alike := mistakable(device for device, _ in wanted.values()):
            one, other = alike
            raise PlaneError(
                f"the indices of {one.name} and {other.name} ({one.index} and {other.index}) have the same"
                " low 16 bits, so that programs cannot tell them apart; make one of them anew"
            )
        troubles: list[PlaneError] = []
        for key, (device, side) in wanted.items():
            if key not in self._attached:
                try:
                    self._attach(key, device, side)
                except PlaneError as error:
                    troubles.append(error)
        takes = {device: self._takes_redirected(device) for device, _ in wanted.values()}
        self.table.forget_hops()  # before indices are removed, so that no half uses them
        self._exits.name(takes)
        self.forget_hops()
        self._pass_once(found)
        if troubles:
            raise troubles[0]

    def _wanted(
        self, devices: Iterable[tuple[Device, Side]]
    ) -> dict[tuple[Hook, int], tuple[Device, Side]]:
        """Return the programs for these devices."""
        wanted = {}
        for device, side in devices:
            wanted[Hook.TC, device.index] = device, side
            if device.suits_xdp if self._xdp is None else self._xdp and device.ethernet:
                wanted[Hook.XDP, device.index] = device, side
        return wanted

    def _pass_once(self, found: Mapping[str, Device | None]) -> None:
        """Let packets pass the host's firewall once, if possible."""
        if self._once is None:
            return
        kernel, where = self._plane.kernel, self._plane.where
        engine = {side: look_up(kernel, DEVICE[side]) for side in Side}
        inside = [found[name] for name in where.inside]
        # Before packets are marked which the rules would bring to the engine again.
        self._plane.exempt(ADMITTED)
        try:
            self._once.follow(
                kernel,
                found[where.outside],
                [device for device in inside if device is not None],
                {side: device for side, device in engine.items() if device is not None},
            )
        except OSError as error:
            log.info("packets pass the host's firewall twice: %s", error)
            self._once = None
            self._plane.exempt(0)

    def _end_once(self) -> None:
        if self._once is not None:
            self._once.halt()
            self._plane.exempt(0)
            self._once.end(self._plane.kernel)

    @property
    def passes_once(self) -> bool:
        return self._once is not None and not self.table.twice

    @property
    def could_pass_once(self) -> bool:
        return self._once is not None

    def pass_twice(self, value: bool) -> None:
        if self._once is not None:
            self.table.twice = value

    def _check_reverse_paths(self) -> None:
        """Apply the kernel's reverse-path settings of each interface."""
        devices = {each.device for each in self._attached.values()}
        strict = [each.index for each in devices if rp_filter(each.name) == STRICT]
        self.table.check_reverse_paths(self._exits.device_indices(strict))

    def _attach(self, key: tuple[Hook, int], device: Device, side: Side) -> None:
        try:
            if key[0] is Hook.TC:
                made = attach_tc(self._plane.kernel, self._loaded, device, side, self._pins)
            else:
                made = attach_xdp(self._loaded, device, side, self._generic, self._pins)
        except (OSError, NetlinkError) as error:
            if key[0] is Hook.XDP and self._xdp is None:
                log.info("no XDP on %s: %s", device.name, error)
                return
            what = f"no program on {device.name}: {key[0].name}: {_reason(key[0], error)}"
            raise PlaneError(what) from error
        self._attached[key] = made

    def _takes_redirected(self, device: Device) -> bool:
        return device.takes_redirected or (self._generic and device.ethernet)


def _refusal(error: OSError, flows: int) -> str:
    """Return why programs with a table for so many flows cannot be loaded."""
    number = error.errno or 0
    damaged = "their file is damaged" if number >= libbpf.NO_OBJECT else str(error.strerror)
    return f"the programs cannot be loaded: {TROUBLES.get(number, damaged).format(flows=flows)}"


def _reason(hook: Hook, error: OSError | NetlinkError) -> str:
    if isinstance(error, NetlinkError):
        return str(error)
    known = XDP_TROUBLES if hook is Hook.XDP else {}
    return known.get(error.errno or 0) or error.strerror or str(error)
