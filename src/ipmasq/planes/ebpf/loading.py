"""Loads the programs that some devices need, and explains why they cannot be loaded."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.resources import files

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.attach import tc_program, up_program, xdp_program
from ipmasq.planes.ebpf.devices import Device
from ipmasq.planes.ebpf.once import DOWN, enter_program, leave_program
from ipmasq.planes.ebpf.table import sizes
from ipmasq.planes.plane import PlaneError

OBJECT = "ipmasq.bpf.o"


def _image() -> bytes | None:
    with suppress(FileNotFoundError):
        return files("ipmasq.planes.ebpf").joinpath(OBJECT).read_bytes()
    return None


IMAGE = _image()
"""The programs of the version that runs, read at its start: one that is installed meanwhile may have others, which do not fit
what this process knows of their maps."""

SHOWN = 15
"""Characters of a program's name that the kernel keeps (BPF_OBJ_NAME_LEN)."""

TROUBLES = {
    errno.EPERM: "loading programs needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
    errno.EACCES: "this kernel's verifier refuses the programs",
    errno.EFAULT: "this kernel's verifier refuses the programs, as it does without CAP_PERFMON",
    errno.EINVAL: "this kernel is too old for the programs",
    errno.ENOSYS: "this kernel has no eBPF",
    errno.E2BIG: "the table for {flows:,} flows is larger than this kernel allows; lower limits.flows",
    errno.ENOMEM: "there is not enough memory for the table of {flows:,} flows; lower limits.flows",
}


def load(
    flows: int, programs: Iterable[str], maps: Mapping[str, int] | None = None
) -> libbpf.Object:
    """Create the maps, with a table for so many flows, unless these `maps` are to be used, and load these programs.
    Raises PlaneError."""
    if IMAGE is None:
        raise PlaneError("this package was built without the programs")
    try:
        loaded = libbpf.Object(IMAGE, sizes(2 * flows), programs, maps)
    except OSError as error:
        if error.errno is None:
            raise PlaneError(f"there is no {libbpf.LIBRARY} (package libbpf1)") from error
        raise PlaneError(refusal(error, flows)) from error
    return loaded


def needed(sides: Iterable[tuple[Device, Side]], xdp: bool | None) -> Iterator[str]:
    """Yield the programs for the outside interface and the inside ones; `xdp` is as in
    `ipmasq.planes.ebpf.programs.Programs`."""
    for device, side in sides:
        yield tc_program(device, side)
        yield enter_program(device, side)
        if side is Side.OUTSIDE:
            yield leave_program(device)
        if device.should_have_xdp(xdp):
            yield xdp_program(side)
    yield from map(up_program, Side)
    yield from DOWN.values()


def is_ours(name: str) -> bool:
    """Return whether this is the name of a program of ours, of which the kernel keeps 15 characters."""
    return name[:SHOWN] in _OURS


def refusal(error: OSError, flows: int) -> str:
    """Return why programs with a table for so many flows cannot be loaded."""
    number = error.errno or 0
    damaged = "their file is damaged" if number >= libbpf.NO_OBJECT else str(error.strerror)
    return f"the programs cannot be loaded: {TROUBLES.get(number, damaged).format(flows=flows)}"


_OURS = frozenset(
    name[:SHOWN]
    for ethernet in (True, False)
    for name in needed([(Device("", 0, ethernet, "", None), side) for side in Side], True)
)
