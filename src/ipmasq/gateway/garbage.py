"""When Python's collector looks for cycles of references: after what leaves some, and not at packets.

The packets' way leaves no cycles: what ends there is freed at once. What an operator does leaves many:
the code of a helper that was replaced, a configuration that was read, messages of netlink. The collector
by itself would find them late or never, as `rarely` has it look at old objects hardly ever; so it is told
to look when they have come to be.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def rarely() -> None:
    """From now on, a full collection does not begin by itself: it walks through all flows, and packets
    stand still for it (0.1 s at 100,000 flows)."""
    gc.set_threshold(10_000, 50, 1_000_000)


@contextmanager
def of_this() -> Iterator[None]:
    """Free the cycles that are made meanwhile. Costs nothing for what was there before, flows included.

    For what neither reads code nor replaces objects of long life; else see `of_everything`."""
    gc.collect(1)  # what is garbage by now would be taken for old, and be kept
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()


@contextmanager
def of_everything() -> Iterator[None]:
    """Free all cycles afterwards. For what walks through all flows anyway, and takes longer than this."""
    try:
        yield
    finally:
        gc.collect()
