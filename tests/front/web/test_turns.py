"""Places in which something is done for clients, and whose turn is next."""

from __future__ import annotations

import asyncio

import pytest

from ipmasq.control.server import MOST_PER_USER
from ipmasq.front.web import turns
from ipmasq.front.web.turns import BusyError, Turns


async def idle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Scene:
    def __init__(self, slots: int) -> None:
        self.turns = Turns(slots)
        self.served: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    async def come(self, name: str) -> asyncio.Task[None]:
        """Let a client ask, named by its first letter."""
        self.ends[name] = asyncio.Event()
        task = asyncio.ensure_future(self._work(name))
        await idle()
        return task

    async def _work(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.served.append(name)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await idle()


def test_so_many_are_served_at_a_time_and_a_hog_waits_for_others():
    async def run() -> list[str]:
        scene = Scene(2)
        for name in ("h1", "h2", "h3", "h4", "o1"):
            await scene.come(name)
        assert scene.served == ["h1", "h2"]
        for name in ("h1", "h2", "h3"):
            await scene.end(name)
        return scene.served

    assert asyncio.run(run()) == ["h1", "h2", "o1", "h3", "h4"]


def test_who_goes_away_while_waiting_or_being_served_leaves_no_gap():
    async def run() -> list[str]:
        scene = Scene(1)
        first, second = await scene.come("a1"), await scene.come("b1")
        await scene.come("c1")
        second.cancel()
        await idle()
        first.cancel()
        await idle()
        assert scene.served == ["a1", "c1"]
        await scene.end("c1")
        await scene.come("d1")
        return scene.served

    assert asyncio.run(run()) == ["a1", "c1", "d1"]


def test_a_place_that_comes_as_its_client_goes_is_the_next_ones():
    async def run() -> list[str]:
        scene = Scene(1)
        await scene.come("a1")
        second = await scene.come("b1")
        await scene.come("c1")
        scene.ends["a1"].set()
        while not scene.turns._waiting or len(scene.turns._waiting) == 2:
            await asyncio.sleep(0)
        second.cancel()
        await idle()
        return scene.served

    assert asyncio.run(run()) == ["a1", "c1"]


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.01)

    async def run() -> None:
        scene = Scene(1)
        await scene.come("a1")
        with pytest.raises(BusyError):
            await (await scene.come("b1"))
        assert not scene.turns._waiting

    asyncio.run(run())


def test_the_gateway_has_room_for_all_places_and_the_feed():
    slots = turns.WALKS + turns.LOOKS + turns.EXAMINATIONS + turns.CHANGES
    assert slots + 2 + 2 <= MOST_PER_USER


def test_those_who_go_away_together_leave_no_more_places_than_there_were():
    """A place is passed on before those who wait for it know that they were cancelled."""

    async def run() -> list[str]:
        scene = Scene(2)
        for task in [await scene.come(name) for name in ("a1", "b1", "c1", "d1", "e1")]:
            task.cancel()
        await idle()
        for name in ("f1", "g1", "h1"):
            await scene.come(name)
        return scene.served

    assert asyncio.run(run()) == ["a1", "b1", "f1", "g1"]
