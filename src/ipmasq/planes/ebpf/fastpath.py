"""eBPF programs before the tun plane, which forward packets as the engine has decided.

    inside host -> IN_i --program--> OUT -> remote            offloaded flows, ordinary packets
                        \\--rules--> ipmasq-in -> engine ...   everything else, as without programs

Packets that a program passes on go into the kernel, so the tun plane's rules bring them to the engine with
their side known.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.policy import Limits
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.attach import Attached, attach_tc, attach_xdp
from ipmasq.planes.ebpf.changes import HopChanges
from ipmasq.planes.ebpf.devices import STRICT, Device, look_up, mistakable, rp_filter
from ipmasq.planes.ebpf.exits import Exits
from ipmasq.planes.ebpf.inheritance import Inheritance
from ipmasq.planes.ebpf.layout import ADMITTED, Hook
from ipmasq.planes.ebpf.loading import refusal
from ipmasq.planes.ebpf.once import Once
from ipmasq.planes.ebpf.policer import Policer, rates
from ipmasq.planes.ebpf.table import GRACE, Table
from ipmasq.planes.fastpath import Counter, Offender
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.planes.tun.steering import DEVICE

log = logging.getLogger("ipmasq")

XDP_TROUBLES = {
    errno.EOPNOTSUPP: "its driver has none; plane ebpf-xdp-generic does without",
    errno.EBUSY: "another program is there already",
    errno.ERANGE: "its MTU, or that of its other end, is too large for it",
}


class EbpfFastPath:
    """A FastPath."""

    trouble = ""

    def __init__(
        self,
        plane: TunPlane,
        loaded: libbpf.Object,
        flows: int,
        xdp: bool | None,
        generic: bool,
        inheritance: Inheritance,
    ) -> None:
        """`plane` is open, `loaded` comes from `ipmasq.planes.ebpf.loading.load` and is closed at the end; the
        rest is as in `ipmasq.planes.ebpf.programs.Programs`. Raises PlaneError; then there are no programs."""
        self._pins = inheritance.pins
        self._plane, self._loaded, self._xdp, self._generic = plane, loaded, xdp, generic
        self._attached: dict[tuple[Hook, int], Attached] = {}
        with ExitStack() as undo:
            undo.callback(plane.unpin)
            undo.enter_context(closing(loaded))
            # Before any look-up, so that no change is missed.
            self._changes = undo.enter_context(closing(HopChanges()))
            self._share(undo, flows, inheritance)
            undo.callback(self._end_once)
            undo.callback(self.halt)
            self._begin_to_police()
            self.follow()
            inheritance.finish()
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

    def note_changes(self) -> None:
        self.table.note_changes()

    @property
    def changes(self) -> list[int] | None:
        return self.table.changes

    def look_again(self, changes: Sequence[int] | None) -> None:
        self.table.look_again(changes)
        self.table.forget_hops()

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

    def _share(self, undo: ExitStack, flows: int, inheritance: Inheritance) -> None:
        """Map the memory that is shared with the programs. Raises PlaneError."""
        try:
            table = Table(self._loaded, 2 * flows, inheritance.has_maps, self._plane.grace or GRACE)
            self.table = undo.enter_context(closing(table))
            inheritance.enter(self._loaded, table)
        except OSError as error:
            raise PlaneError(refusal(error, flows)) from error
        self._exits = Exits(self._loaded)
        self._once: Once | None = Once(self._loaded, self.table, self._pins)
        self._policer = Policer(self._loaded, self._pins)
        undo.callback(self._policer.detach, self._plane.kernel)

    def _begin_to_police(self) -> None:
        kernel = self._plane.kernel
        devices = {side: look_up(kernel, DEVICE[side], True) for side in Side}
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
            if device.should_have_xdp(self._xdp):
                wanted[Hook.XDP, device.index] = device, side
        return wanted

    def _pass_once(self, found: Mapping[str, Device | None]) -> None:
        """Let packets pass the host's firewall once, if possible."""
        if self._once is None:
            return
        kernel, where = self._plane.kernel, self._plane.where
        engine = {side: look_up(kernel, DEVICE[side], True) for side in Side}
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


def _reason(hook: Hook, error: OSError | NetlinkError) -> str:
    if isinstance(error, NetlinkError):
        return str(error)
    known = XDP_TROUBLES if hook is Hook.XDP else {}
    return known.get(error.errno or 0) or error.strerror or str(error)
