"""The tun plane, and before it programs that repeat what the engine has decided.

    inside host -> IN_i --program--> OUT -> remote            settled flows, ordinary packets
                        \\--rules--> ipmasq-in -> engine ...   everything else, as without programs

What a program leaves alone simply goes on into the kernel, so the tun plane's rules bring it to the
engine with its side known.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.attach import Attached, attach_tc, attach_xdp
from ipmasq.planes.ebpf.changes import HopChanges
from ipmasq.planes.ebpf.devices import STRICT, Device, look_up, mistakable, rp_filter
from ipmasq.planes.ebpf.exits import Exits
from ipmasq.planes.ebpf.layout import ADMITTED, Account, Hook, Reason
from ipmasq.planes.ebpf.once import Once
from ipmasq.planes.ebpf.policer import Offender, Policer, Rates
from ipmasq.planes.ebpf.table import Table, sizes
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun import settings
from ipmasq.planes.tun.journal import DIRECTORY
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.planes.tun.steering import DEVICE
from ipmasq.planes.tun.watched import Restored
from ipmasq.wire.addresses import Network
from ipmasq.wire.packet import Packet

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


@dataclass(frozen=True, slots=True)
class Programs:
    """Which there shall be, and for how much."""

    flows: int = 1_000_000
    """Room for so many."""
    xdp: bool | None = None
    """On every interface, or none, or (None) where it suits."""
    generic: bool = False
    """XDP behind the driver."""
    required: bool = True
    """Otherwise the tun plane does alone what must do without programs."""


USUAL = Programs()


class EbpfPlane(TunPlane):
    def __init__(
        self,
        outside: str,
        inside: Sequence[str],
        networks: Sequence[Network],
        directory: Path = DIRECTORY,
        programs: Programs | None = USUAL,
        *,
        tcx: bool = True,
    ) -> None:
        """`programs`: None for none."""
        super().__init__(outside, inside, networks, directory)
        self.programs = programs
        self._tcx = tcx
        self._loaded: libbpf.Object | None = None
        self._changes: HopChanges | None = None
        self._policer: Policer | None = None
        self._exits: Exits | None = None
        self._once: Once | None = None
        self._attached: dict[tuple[Hook, int], Attached] = {}
        self.table: Table | None = None
        self.trouble = ""
        """Why there is no fast path, in one sentence."""

    def open(self) -> None:
        super().open()
        try:
            self._begin()
        except PlaneError:
            super().close()
            raise

    def change(self, programs: Programs | None) -> None:
        """Have others from now on; in between, every packet comes to the engine. Their counts begin anew.

        Raises PlaneError; then all is as before, as far as that can be."""
        before, self.programs = self.programs, programs
        self._end()
        try:
            self._begin()
        except PlaneError:
            self.programs = before
            try:
                self._begin()
            except PlaneError as error:
                self.trouble = str(error)
                log.error("without the eBPF fast path: %s", error)
            raise

    def lacks(self, programs: Programs | None) -> bool:
        """Whether `change` has something to do."""
        return programs != self.programs or (programs is not None and self.table is None)

    def halt(self) -> None:
        """From now on every packet comes to the engine; the table can still be read."""
        attached, self._attached = self._attached, {}
        for each in attached.values():
            each.detach(self._open_kernel)

    def close(self) -> None:
        self._end()
        super().close()

    def refresh(self) -> None:
        super().refresh()
        if self.table is not None and self.programs is not None:
            self._follow(self.programs)

    def restore(self) -> tuple[Restored, ...]:
        restored = super().restore()
        if restored and self.table is not None:
            self._check_reverse_paths()
            self.table.forget_hops()
        return restored

    def descriptors(self) -> Sequence[int]:
        own = (self._changes.fileno(),) if self._changes else ()
        return (*super().descriptors(), *own)

    def receive(self, descriptor: int) -> tuple[Packet, Side] | None:
        if self._changes is None or descriptor != self._changes.fileno():
            return super().receive(descriptor)
        if self._changes.have_come() and self.table is not None:
            self._check_reverse_paths()
            self.table.forget_hops()
        return None

    @property
    def hooks(self) -> dict[str, str]:
        """Where programs are, by interface: `tc`, `tc+xdp` or `tc+xdp-generic`."""
        found: dict[str, str] = {}
        for each in self._attached.values():
            name = each.device.name
            found[name] = f"{found[name]}+{each.where}" if name in found else each.where
        return found

    def left(self) -> dict[tuple[Hook, Reason], int]:
        """Packets that the programs have left to the engine, by why."""
        counts = self.table.reasons() if self.table is not None else {}
        return {(hook, reason): n for (hook, reason), n in counts.items() if reason}

    # -- floods

    def set_rates(self, rates: Rates) -> None:
        """How many packets per second may be left to the engine. Until this is called, any number."""
        if self._policer is not None:
            self._policer.set_rates(rates)

    def dropped(self) -> Mapping[tuple[Side, Account], int]:
        """Packets that were more than that."""
        return self._policer.dropped() if self._policer is not None else {}

    def offenders(self) -> Iterator[Offender]:
        """Whose packets they were."""
        return self._policer.offenders() if self._policer is not None else iter(())

    # -- programs

    def _begin(self) -> None:
        """Raises PlaneError if they are required; then there are none."""
        self.trouble = ""
        if self.programs is None:
            return
        try:
            self._load(self.programs)
        except PlaneError as error:
            self._end()
            if self.programs.required:
                raise
            self.trouble = str(error)
            log.warning("without the eBPF fast path: %s", error)

    def _load(self, programs: Programs) -> None:
        """Raises PlaneError."""
        capacity = 2 * programs.flows
        self._changes = HopChanges()  # before anything is looked up, so that no change is missed
        try:
            image = files("ipmasq.planes.ebpf").joinpath(OBJECT).read_bytes()
        except FileNotFoundError:
            raise PlaneError("this package was built without the programs") from None
        try:
            self._loaded = libbpf.Object(image, sizes(capacity))
            self.table = Table(self._loaded, capacity)
            self._exits = Exits(self._loaded)
            self._once = Once(self._loaded, self.table) if self._tcx else None
        except OSError as error:
            if error.errno is None:
                raise PlaneError(f"there is no {libbpf.LIBRARY} (package libbpf1)") from error
            raise PlaneError(_refusal(error, programs.flows)) from error
        self._begin_to_police(self._loaded)
        self._follow(programs)
        log.info("the eBPF fast path: %s", self.described())

    def _begin_to_police(self, loaded: libbpf.Object) -> None:
        self._policer = Policer(loaded)
        kernel = self._open_kernel
        devices = {side: look_up(kernel, DEVICE[side]) for side in Side}
        try:
            self._policer.attach(kernel, devices, self._tcx)
        except (OSError, NetlinkError) as error:
            raise PlaneError(f"no program on the way up: {_reason(Hook.TC, error)}") from error

    def described(self) -> str:
        return ", ".join(f"{hooks} on {name}" for name, hooks in self.hooks.items()) or "nowhere"

    def _end(self) -> None:
        self.halt()
        if self._once is not None:
            self._once.halt()
            self._pass_twice()
            self._once.end(self._open_kernel)
        if self._policer is not None:
            self._policer.detach(self._open_kernel)
        for part in (self.table, self._loaded, self._changes):
            if part is not None:
                part.close()
        self.table = self._loaded = self._changes = self._policer = self._exits = self._once = None

    def _follow(self, programs: Programs) -> None:
        """Have programs on the interfaces that there are now. Raises PlaneError."""
        table, exits = self.table, self._exits
        assert table is not None
        assert exits is not None
        kernel = self._open_kernel
        via = [kernel.link_lookup(ifname=DEVICE[side])[0] for side in Side]
        table.via(*via)
        sides = {self._where.outside: Side.OUTSIDE}
        sides |= dict.fromkeys(self._where.inside, Side.INSIDE)
        found = {name: look_up(kernel, name) for name in sides}
        wanted: dict[tuple[Hook, int], tuple[Device, Side]] = {}
        for name, side in sides.items():
            device = found[name]
            if device is not None:
                wanted[Hook.TC, device.index] = device, side
                if device.suits_xdp if programs.xdp is None else programs.xdp and device.ethernet:
                    wanted[Hook.XDP, device.index] = device, side
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
                    self._attach(programs, key, device, side)
                except PlaneError as error:
                    troubles.append(error)
        takes = {device: _takes_redirected(programs, device) for device, _ in wanted.values()}
        table.forget_hops()  # before places are emptied, so that nobody goes by those
        exits.name(takes)
        self._check_reverse_paths()
        table.forget_hops()
        self._pass_once(found)
        if troubles:
            raise troubles[0]

    def _pass_once(self, found: Mapping[str, Device | None]) -> None:
        """As far as can be, have packets pass the host's firewall once."""
        if self._once is None:
            return
        kernel = self._open_kernel
        engine = {side: look_up(kernel, DEVICE[side]) for side in Side}
        inside = [found[name] for name in self._where.inside]
        self._unmarked = ADMITTED
        self._watched.set(
            settings.judging_sources_by_marks((self._where.outside, *self._where.inside))
        )
        self._steer()  # before packets are marked that its rules would bring to the engine once more
        try:
            self._once.follow(
                kernel,
                found[self._where.outside],
                [device for device in inside if device is not None],
                {side: device for side, device in engine.items() if device is not None},
            )
        except OSError as error:
            log.info("packets pass the host's firewall twice: %s", error)
            self._once = None
            self._pass_twice()

    def _pass_twice(self) -> None:
        self._unmarked = 0
        self._steer()

    @property
    def passes_once(self) -> bool:
        """Whether packets pass the host's firewall once, from an inside interface to the outside one or back."""
        return self._once is not None and self.table is not None and not self.table.twice

    @property
    def could_pass_once(self) -> bool:
        """Whether there are the programs for it."""
        return self._once is not None

    def pass_twice(self, value: bool) -> None:
        """Take the tun plane's way past the host's firewall, or (False) the shorter one if there is one."""
        if self._once is not None and self.table is not None:
            self.table.twice = value

    def _check_reverse_paths(self) -> None:
        """As the kernel does on each interface."""
        assert self.table is not None
        assert self._exits is not None
        devices = {each.device for each in self._attached.values()}
        strict = [each.index for each in devices if rp_filter(each.name) == STRICT]
        self.table.check_reverse_paths(self._exits.device_indices(strict))

    def _attach(
        self, programs: Programs, key: tuple[Hook, int], device: Device, side: Side
    ) -> None:
        assert self._loaded is not None
        try:
            if key[0] is Hook.TC:
                made = attach_tc(self._open_kernel, self._loaded, device, side, self._tcx)
            else:
                made = attach_xdp(self._loaded, device, side, programs.generic)
        except (OSError, NetlinkError) as error:
            if key[0] is Hook.XDP and programs.xdp is None:
                log.info("no XDP on %s: %s", device.name, error)
                return
            what = f"no program on {device.name}: {key[0].name}: {_reason(key[0], error)}"
            raise PlaneError(what) from error
        self._attached[key] = made


def _refusal(error: OSError, flows: int) -> str:
    """Why programs with a table for so many flows cannot be loaded."""
    number = error.errno or 0
    damaged = "their file is damaged" if number >= libbpf.NO_OBJECT else str(error.strerror)
    return f"the programs cannot be loaded: {TROUBLES.get(number, damaged).format(flows=flows)}"


def _takes_redirected(programs: Programs, device: Device) -> bool:
    return device.takes_redirected or (programs.generic and device.ethernet)


def _reason(hook: Hook, error: OSError | NetlinkError) -> str:
    if isinstance(error, NetlinkError):
        return str(error)
    known = XDP_TROUBLES if hook is Hook.XDP else {}
    return known.get(error.errno or 0) or error.strerror or str(error)
