"""Where the fast path's programs and maps have names that outlive the process.

A bpffs of the gateway's own is mounted in its mount namespace alone, and the next process may have another one: `ip
netns exec`, a service with private mounts and a container each make one. So a descriptor of the directory is kept with
those of the devices, and the path on record is used only where it is known to lead there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ipmasq.planes import bpffs
from ipmasq.planes.tun.changes import OWN_BPFFS, PINS, BpffsMounted, Change, ProgramsPinned
from ipmasq.planes.tun.devices import Devices
from ipmasq.planes.tun.journal import Journal, namespace

PREPARED = "bpf"
"""The name of a bpffs that the service's unit has mounted below the gateway's directory."""


def pins_directory(journal: Journal, devices: Devices) -> Path | None:
    """Return the directory for pins of this network namespace: the one that an earlier process has left, or a new one,
    on record. Raises OSError; then nothing is left."""
    if devices.pins is not None:
        return devices.pins
    try:
        _forget_elsewhere(journal, devices)
        made = _bpffs(journal, devices.directory) / f"{PINS}{journal.namespace}"
        journal.make([ProgramsPinned(str(made))])
        devices.keep_pins(made)
    except OSError:
        unpin(journal, devices)
        raise
    return devices.pins


def unpin(journal: Journal, devices: Devices) -> None:
    """Remove the directory, with all that is in it. Raises OSError."""
    if devices.pins is not None:
        bpffs.remove_content(devices.pins)
    devices.keep_pins(None)
    kinds = ProgramsPinned, BpffsMounted
    found: list[Change] = [each for kind in kinds for each in journal.made(kind)]
    if found:
        journal.undo(found)
    with suppress(OSError):  # a mount in another mount namespace leaves the directory
        _own(journal, devices.directory).rmdir()


def pinned(directory: Path) -> Sequence[Change]:
    """Return what a gateway of this network namespace has pinned, on record or not, in the order in which that is done."""
    name = namespace()
    own = directory / f"{OWN_BPFFS}{name}"
    mounted = [each for each in (directory / PREPARED, bpffs.SYSTEM, own) if bpffs.is_bpffs(each)]
    found: list[Change] = [BpffsMounted(str(own))] if own in mounted else []
    pins = [os.fspath(each / f"{PINS}{name}") for each in mounted]
    return [*found, *(ProgramsPinned(each) for each in pins if os.path.isdir(each))]


def _forget_elsewhere(journal: Journal, devices: Devices) -> None:
    """Remove from the record what is in another mount namespace, where this process cannot reach it. The programs there
    would go on beside the new ones as long as the earlier process's keeper, in whose mount namespace they are."""
    pinned, mounted = journal.made(ProgramsPinned), journal.made(BpffsMounted)
    gone: list[Change] = [each for each in pinned if not bpffs.is_bpffs(Path(each.path).parent)]
    gone += [each for each in mounted if not bpffs.is_bpffs(Path(each.path))]
    if gone:
        devices.renew()
        journal.undo(gone)


def _bpffs(journal: Journal, directory: Path) -> Path:
    """Return a mounted bpffs that this process may write, if need be one of its own. Raises OSError."""
    for mounted in journal.made(BpffsMounted):
        if bpffs.is_bpffs(Path(mounted.path)):
            return Path(mounted.path)
    for path in (directory / PREPARED, bpffs.SYSTEM):
        if bpffs.is_bpffs(path) and os.access(path, os.W_OK):
            return path
    own = _own(journal, directory)
    journal.make([BpffsMounted(str(own))])
    return own


def _own(journal: Journal, directory: Path) -> Path:
    return directory / f"{OWN_BPFFS}{journal.namespace}"
