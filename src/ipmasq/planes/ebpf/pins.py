"""Names in a bpffs for the programs' maps and links, which live on without a process.

    BPFFS/ipmasq-NAMESPACE/maps-LAYOUT-CAPACITY/slots, ...   what programs of this layout share with the gateway
    BPFFS/ipmasq-NAMESPACE/links/tc-5, ...                   the program on an interface, by hook and ifindex

A gateway that finds them opens the maps, loads its own programs for them, and exchanges the program of each link,
which no packet notices. Names contain no dots, which the kernel does not allow there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ipmasq.planes import bpffs
from ipmasq.planes.ebpf import layout, libbpf

log = logging.getLogger("ipmasq")

MAPS = ("slots", ".bss", "devices", "targets", "reasons", "costs", "accounts", "dropped")


class Pins:
    def __init__(self, directory: Path, capacity: int) -> None:
        """`directory` exists. The maps are those of a table for so many halves."""
        self._directory = directory
        self._maps = directory / f"maps-{layout.digest()}-{capacity}"
        self._links = directory / "links"
        self._used: set[str] = set()
        self._lost = False
        """Whether something could not be pinned. Then nothing is."""

    def found_maps(self) -> dict[str, int]:
        """Open the maps of an earlier process by name; empty if there are none of this layout and capacity. Raises
        OSError."""
        if not self._maps.is_dir():
            return {}
        opened = {name: libbpf.pinned(self._maps / _name(name)) for name in MAPS}
        found = {name: each for name, each in opened.items() if each is not None}
        if len(found) == len(MAPS):
            return found
        for each in found.values():
            os.close(each)
        return {}

    def others(self) -> list[Path]:
        """Return the directories of maps of another layout or capacity."""
        return [each for each in self._directory.glob("maps-*") if each != self._maps]

    def keep_maps(self, loaded: libbpf.Object) -> None:
        """Pin the maps of programs that were loaded without inherited ones."""
        draft = self._maps.with_name("draft")
        with self._all_or_nothing():
            bpffs.remove_all(draft)
            bpffs.remove_all(self._maps)
            draft.mkdir(mode=0o700)
            for name in MAPS:
                libbpf.pin(loaded.map(name), draft / _name(name))
            draft.rename(self._maps)
            self._links.mkdir(mode=0o700, exist_ok=True)

    def found_link(self, name: str) -> int | None:
        """Open a link of an earlier process."""
        with suppress(OSError):
            return libbpf.pinned(self._links / name)
        return None

    def keep_link(self, name: str, descriptor: int, is_new: bool) -> None:
        """Use a link; a new one is pinned."""
        self._used.add(name)
        if is_new and not self._lost:
            with self._all_or_nothing():
                (self._links / name).unlink(missing_ok=True)
                libbpf.pin(descriptor, self._links / name)

    def remove_link(self, name: str) -> None:
        self._used.discard(name)
        with suppress(OSError):
            (self._links / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove links and maps of an earlier process that are not used."""
        with suppress(OSError):
            unused = [each for each in self._links.iterdir() if each.name not in self._used]
            for each in sorted(unused, key=lambda each: each.name.startswith("leave")):
                each.unlink(missing_ok=True)
            for each in self._directory.iterdir():
                if each not in (self._maps, self._links):
                    bpffs.remove_all(each)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._lost = True
            log.warning("the fast path will not outlive this process: %s", error)
            with suppress(OSError):
                bpffs.remove_all(self._maps)
                bpffs.remove_all(self._links)


def _name(name: str) -> str:
    return name.strip(".")
