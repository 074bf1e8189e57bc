"""Many records at once, when a log begins or ends: written a few at a time, as fast as the targets take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ipmasq.translations.records import Record

AT_ONCE = 100
"""Records or flows of a step, after which packets have their turn: about a millisecond."""

PAUSE = 0.01
"""Seconds to wait for targets that are busy."""


class Feed:
    def __init__(
        self,
        batches: Iterator[Sequence[Record]],
        put: Callable[[Sequence[Record]], object],
        has_room: Callable[[], bool],
        then: Callable[[], object],
        until: float,
    ) -> None:
        """`put` writes a batch, `then` is called after the last one. From `until` on, on the clock of `step`, batches
        are put whether there is room or not."""
        self._batches, self._put, self._has_room = batches, put, has_room
        self._then, self._until = then, until

    def step(self, now: float) -> float | None:
        """Put one batch if there is room. Return in how many seconds the next step is due; None if there is
        none."""
        if not self._has_room() and now < self._until:
            return PAUSE
        batch = next(self._batches, None)
        if batch is None:
            self._then()
            return None
        self._put(batch)
        return 0.0
