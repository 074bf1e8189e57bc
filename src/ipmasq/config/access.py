"""Checks whether the control socket, the translation log and the key of a group can be opened on this machine as
configured."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from ipmasq.continuity.settings import read_key

Trouble = tuple[str, str]
"""The setting, `socket` or `group`, and what is wrong with it."""

Access: TypeAlias = Callable[[str | None, str | None], Iterator[Trouble]]
"""Returns what is wrong with a socket's path, if one is given, and with a group."""


def unknown(path: str | None, group: str | None) -> Iterator[Trouble]:
    """Find nothing wrong, since nothing is known of the machine."""
    yield from ()


def find_problems(path: str | None, group: str | None) -> Iterator[Trouble]:
    """Find what is wrong on this machine now, without changing anything."""
    if group is not None and not has_group(group):
        yield "group", f"this machine has no group {group}"
    if path is not None and (wrong := _wrong_with(Path(path))):
        yield "socket", wrong


def has_group(name: str) -> bool:
    """Return whether a group exists, by name or number."""
    if name.isdigit():
        return True
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


Writable: TypeAlias = Callable[[str], str | None]
"""Returns what is wrong with the path of a file that is to be written, or None."""


def known_to_be_writable(path: str) -> None:
    """Find nothing wrong, since nothing is known of the machine."""


def wrong_with_file(path: str) -> str | None:
    """Return why this file cannot be written now. Its directory is made when it is needed, the one above it is
    not."""
    file = Path(path)
    try:
        if file.is_dir():
            return f"{file} is a directory"
        directory = file.parent if os.path.lexists(file.parent) else file.parent.parent
        if not directory.is_dir():
            return f"there is no directory {directory}"
    except (OSError, ValueError) as error:
        return f"{path}: {error}"
    if os.geteuid() == 0 and not os.access(directory, os.W_OK):
        return f"nothing can be made in {directory}"
    return None


Readable: TypeAlias = Callable[[Path], str | None]
"""Returns what is wrong with the file of a key, or None."""


def known_to_be_readable(path: Path) -> None:
    """Find nothing wrong, since nothing is known of the machine."""


def wrong_with_key(path: Path) -> str | None:
    """Return why this key cannot be used. One that this user may not read is taken to be right: the gateway's may."""
    try:
        read_key(path)
    except ValueError as error:
        return None if isinstance(error.__cause__, PermissionError) else str(error)
    return None


def _wrong_with(path: Path) -> str | None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return f"there is something else at {path}, which is no socket"
        return None
    except (OSError, ValueError):
        pass
    above = next(each for each in (*path.parents, Path()) if os.path.lexists(each))
    if not above.is_dir():
        return f"{above} is no directory"
    if os.geteuid() == 0 and not os.access(above, os.W_OK):
        return f"nothing can be made in {above}"
    return None
