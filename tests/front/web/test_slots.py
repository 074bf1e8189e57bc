"""Places for captures: how many a client has, and which upload gives its place up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ipmasq.front.web import slots
from ipmasq.front.web.sessions import ANYBODY
from ipmasq.front.web.slots import DisplacedError, NoSlotError, Slot, Slots


class Scene:
    def __init__(self) -> None:
        self._slots = Slots()
        self._tasks: list[asyncio.Task[None]] = []
        self.ended: dict[str, str] = {}
        """How each capture has ended, by its name."""

    async def come(self, name: str, received: int = 0, is_complete: bool = False) -> Slot | None:
        """Let a capture come, of the client that its first letter names."""
        begun: asyncio.Future[Slot | None] = asyncio.get_running_loop().create_future()
        self._tasks.append(asyncio.ensure_future(self._work(name, received, is_complete, begun)))
        return await begun

    async def _work(
        self, name: str, received: int, is_complete: bool, begun: asyncio.Future[Slot | None]
    ) -> None:
        try:
            with self._slots.slot(ANYBODY if name[0] == "*" else name[0]) as slot:
                slot.received = received
                if not is_complete:
                    async with slot.upload():
                        begun.set_result(slot)
                        await asyncio.sleep(60)
                begun.set_result(slot)
                await asyncio.sleep(60)
        except NoSlotError as error:
            self.ended[name] = str(error)
            begun.set_result(None)
        except (DisplacedError, TimeoutError) as error:
            self.ended[name] = type(error).__name__

    async def end(self) -> None:
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def shown(run: Callable[[Scene], Awaitable[None]]) -> dict[str, str]:
    async def play() -> dict[str, str]:
        scene = Scene()
        try:
            await run(scene)
            await asyncio.sleep(0.01)
            return scene.ended
        finally:
            await scene.end()

    return asyncio.run(play())


def test_a_client_has_half_of_the_places_and_the_others_have_the_rest():
    async def run(scene: Scene) -> None:
        for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
            await scene.come(name)

    assert shown(run) == {
        "a3": "other captures of yours are being replayed; try again in a moment",
        "b2": "other captures are being replayed; try again in a moment",
    }


def test_without_a_token_everybody_has_all_slots():
    async def run(scene: Scene) -> None:
        for number in range(5):
            await scene.come(f"*{number}")

    assert list(shown(run)) == ["*4"]


def test_the_slowest_upload_gives_its_place_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "GRACE", 0.0)
    monkeypatch.setattr(slots, "SLOW", 1 << 30)

    async def run(scene: Scene) -> None:
        for number, received in enumerate((1 << 40, 200, 0, 300)):
            await scene.come(f"*{number}", received)
        await scene.come("*new", 1 << 40)

    assert shown(run) == {"*2": "DisplacedError"}


def test_a_client_displaces_its_own_upload_and_no_other_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "GRACE", 0.0)
    monkeypatch.setattr(slots, "SLOW", 1 << 30)

    async def run(scene: Scene) -> None:
        await scene.come("b1", 0)
        await scene.come("a1", 200)
        await scene.come("a2", 0)
        await scene.come("a3", 1 << 40)

    assert shown(run) == {"a2": "DisplacedError"}


def test_what_has_come_or_comes_fast_or_is_new_keeps_its_place(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "GRACE", 1000.0)

    async def run(scene: Scene) -> None:
        for slot in (
            await scene.come("*complete", is_complete=True),
            await scene.come("*fast", 1 << 40),
        ):
            assert slot is not None
            slot._began -= 1001.0
        await scene.come("*new")
        await scene.come("*also new")
        await scene.come("*too many")

    assert list(shown(run)) == ["*too many"]


def test_one_that_does_not_come_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "UPLOAD", 0.0)

    async def run(scene: Scene) -> None:
        await scene.come("a1")

    assert shown(run) == {"a1": "TimeoutError"}
