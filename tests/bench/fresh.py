"""Work done in a process of its own: nothing of other benches is in its memory, and it gives all back."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def fresh(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function` must be importable, and its arguments and result picklable."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=as_the_gateway) as pool:
        return pool.submit(function, *args, **kwargs).result()


def as_the_gateway() -> None:
    """Python's collector as `ipmasq.gateway.drive` has it: it never walks over all flows."""
    gc.set_threshold(10_000, 50, 1_000_000)
