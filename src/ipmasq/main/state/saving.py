"""Writes a copy of a state to a file of the operator."""

from __future__ import annotations

import os
from pathlib import Path

from ipmasq.continuity.contents import read
from ipmasq.continuity.copying import copy
from ipmasq.continuity.scratch import scratch
from ipmasq.continuity.store import StoreError
from ipmasq.front.exits import give_up


def save(source: Path, file: Path, force: bool) -> None:
    """Write a copy of the state `source` to `file`, as a whole or not at all. Raises OSError, and typer.Exit if there is no
    sound state, or if `file` exists and is not to be replaced (`force`)."""
    target = file.absolute()
    if not force and os.path.lexists(target):
        raise _exists(file)
    if not target.parent.is_dir():
        raise give_up(f"there is no directory {target.parent}")
    with scratch(target.parent) as private:
        draft = private / "state.db"
        try:
            copy(source, draft)
        except FileNotFoundError:
            raise give_up(f"there is no state to save: no gateway has left {source}") from None
        except StoreError as error:
            raise give_up(str(error)) from None
        found = read(draft)
        if found.trouble:
            raise give_up(f"nothing is saved: {source}: {found.trouble}")
        _synchronise(draft)
        _put(draft, target, force, file)
        _synchronise(target.parent)


def _put(draft: Path, target: Path, force: bool, file: Path) -> None:
    if force:
        draft.replace(target)
        return
    try:
        os.link(draft, target)
    except FileExistsError:
        raise _exists(file) from None


def _exists(file: Path) -> Exception:
    return give_up(f"{file} exists already; --force replaces it")


def _synchronise(path: Path) -> None:
    """Flush it to the disk, so that it survives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
