"""What a store of batches does, whatever keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol


class StoreError(Exception):
    """A store cannot be read or written. The message says why."""


class Store(Protocol):
    """Keeps the batches of turns in their order. Every method raises StoreError."""

    def load(self) -> Iterator[bytes]:
        """Yield the batches that are kept, oldest first."""

    def append(self, batch: bytes, kept: Callable[[], object] | None = None) -> None:
        """Keep a batch. `kept` is called as soon as it survives what the store survives, in the thread of the
        caller; by a store that writes at once before this returns."""

    def begin_snapshot(self) -> None:
        """Note that from the next batch on everything is written anew."""

    def end_snapshot(self) -> None:
        """Note that everything was written anew: what is older than the beginning is not needed any more."""

    def trim(self) -> None:
        """Remove a part of what is not needed any more; to be called now and then."""

    @property
    def has_old(self) -> bool:
        """Whether `trim` has something to remove."""

    @property
    def size(self) -> int:
        """Bytes of all batches that are kept."""

    def close(self) -> None:
        """Keep all that was appended, and close."""
