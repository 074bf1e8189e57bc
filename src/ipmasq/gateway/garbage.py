"""When Python's garbage collector runs: after work that leaves reference cycles, and not while packets are
handled.

Handling packets leaves no cycles, so that their memory is freed at once. The operator's changes leave many:
the code of a replaced helper, a parsed configuration, messages of netlink. With `disable_full_collections` the collector would
free them late or never, so it is started explicitly after such changes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def disable_full_collections() -> None:
    """Prevent automatic full collections, which walk through all flows while packets wait (0.1 s at 100,000
    flows)."""
    gc.set_threshold(10_000, 50, 1_000_000)


def keep_new() -> None:
    """Let the collector take all objects that there are for old ones, without a look at them. This is for work that makes many
    objects which stay: the collector would look at all that are new after every 500,000, which takes 0.1 s."""
    gc.freeze()
    gc.unfreeze()


@contextmanager
def collect_new() -> Iterator[None]:
    """Free the cycles that are made in this block. Objects from before, such as flows, cost nothing.

    This is for blocks that neither load code nor replace long-lived objects; otherwise use `collect_all`.
    """
    gc.collect(1)  # garbage from before would be taken for old objects, and be kept
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()


@contextmanager
def collect_all() -> Iterator[None]:
    """Free all cycles after this block. This is for work that walks through all flows anyway, and takes
    longer than the collection."""
    try:
        yield
    finally:
        gc.collect()
