"""Where the fast path's programs and maps have names that outlive the process."""

from __future__ import annotations

import os
from pathlib import Path

from ipmasq.planes import bpffs
from ipmasq.planes.tun.changes import OWN_BPFFS, PINS, BpffsMounted, Change, ProgramsPinned
from ipmasq.planes.tun.journal import Journal

PREPARED = "bpf"
"""The name of a bpffs that the service's unit has mounted below the gateway's directory."""


def pins_directory(journal: Journal, directory: Path) -> Path:
    """Make the directory for pins of this network namespace, on record. `directory` is that of the record. Raises
    OSError; then nothing is left."""
    try:
        place = _bpffs(journal, directory)
        made = place / f"{PINS}{journal.namespace}"
        journal.make([ProgramsPinned(str(made))])
    except OSError:
        unpin(journal)
        raise
    return made


def unpin(journal: Journal) -> None:
    """Remove the directory, with all that is in it. Raises OSError."""
    kinds = ProgramsPinned, BpffsMounted
    found: list[Change] = [each for kind in kinds for each in journal.made(kind)]
    if found:
        journal.undo(found)


def _bpffs(journal: Journal, directory: Path) -> Path:
    """Return a mounted bpffs that this process may write, if need be one of its own. Raises OSError."""
    for mounted in journal.made(BpffsMounted):
        if bpffs.is_bpffs(Path(mounted.path)):
            return Path(mounted.path)
    for path in (directory / PREPARED, bpffs.SYSTEM):
        if bpffs.is_bpffs(path) and os.access(path, os.W_OK):
            return path
    own = directory / f"{OWN_BPFFS}{journal.namespace}"
    journal.make([BpffsMounted(str(own))])
    return own
