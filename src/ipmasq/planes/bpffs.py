"""The kernel's filesystem of names for eBPF objects (bpffs), as far as files go."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

SYSTEM = Path("/sys/fs/bpf")
MOUNTS = Path("/proc/self/mountinfo")
MNT_DETACH = 2


def is_bpffs(path: Path) -> bool:
    """Return whether a bpffs is mounted here."""
    with suppress(OSError):
        for line in MOUNTS.read_text().splitlines():
            before, _, after = line.partition(" - ")
            if before.split()[4] == str(path) and after.startswith("bpf "):
                return True
    return False


def mount(path: Path) -> None:
    """Mount a bpffs. Raises OSError; without CAP_SYS_ADMIN it is not possible."""
    path.mkdir(mode=0o700, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", bytes(path), b"bpf", 0, b"mode=0700") < 0:
        number = ctypes.get_errno()
        with suppress(OSError):
            path.rmdir()
        raise OSError(number, os.strerror(number), str(path))


def unmount(path: Path) -> None:
    """Unmount a bpffs, if it is mounted here, and remove the directory. Its names end with the last mount, and the last
    descriptor of a directory in it. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if is_bpffs(path) and libc.umount2(bytes(path), MNT_DETACH) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    with suppress(OSError):
        path.rmdir()


def remove_all(path: Path) -> None:
    """Remove a directory of names. Programs that send packets to the engine end first, those that catch them at the
    other end (`leave`) last, so that none leaves untranslated. No symbolic link is followed: the names may be of a user
    with fewer rights. Raises OSError."""
    with suppress(FileNotFoundError):
        _remove(os.fspath(path), None)


def remove_content(path: Path) -> None:
    """Remove all that is in a directory of names, as `remove_all` does; `path` itself may be a link. Raises OSError."""
    for each in list(path.iterdir()):
        remove_all(each)


def _remove(name: str, within: int | None) -> None:
    """Remove a directory with all that is in it; `within` is a descriptor of the one that it is in."""
    directory = os.open(name, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        for each in sorted(os.listdir(directory), key=lambda each: each.startswith("leave")):
            try:
                _remove(each, directory)
            except NotADirectoryError:  # a symbolic link is none either
                os.unlink(each, dir_fd=directory)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=within)
