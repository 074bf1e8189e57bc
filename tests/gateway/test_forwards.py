"""How a forward is added while packets pass."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Forward, HelperUse, PortRange
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.file import File
from ipmasq.gateway.firewall.watch import FirewallWatch
from ipmasq.gateway.firewall.ways import Where
from ipmasq.gateway.forwards import Forwards
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.operated import Operated
from ipmasq.planes.memory import MemoryPlane
from ipmasq.wire.addresses import to_address
from tests.control.running import IN1, POLICY
from tests.gateway.firewall.waiting import answered

TOML = """
[gateway]
inside = ["10.0.0.0/24"]
outside = "lo"
"""
SSH = Forward("ssh", 6, None, PortRange(2222, 2222), IN1, 22)
FAR = replace(SSH, inside=to_address("198.51.100.1"))
OWN = replace(SSH, inside=to_address("127.0.0.9"))


class Noting(File):
    """Notes in which thread it reviews."""

    threads: list[threading.Thread]

    def review_forward(self, forward: Forward, uses: Iterable[HelperUse]) -> Sequence[str]:
        self.threads.append(threading.current_thread())
        return super().review_forward(forward, uses)


class Scene:
    def __init__(self, path: Path) -> None:
        path.write_text(TOML)
        self.file = Noting(path)
        self.file.threads = []
        self.file.read()
        self.loop = Loop()
        self.engine = Engine(POLICY, Random(1).randrange, self.loop.clock())
        drive = Drive(self.engine, MemoryPlane(POLICY.inside), self.loop)
        self._watch = FirewallWatch(self.loop, lambda: Where("lo", ()), lambda _: None)
        self.forwards = Forwards(self.file, drive, self._watch, Operated())

    def end(self) -> None:
        self.forwards.end()
        self._watch.end()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "gateway.toml")
    yield scene
    scene.end()


def test_it_is_reviewed_in_a_thread_and_added_afterwards(scene: Scene) -> None:
    warnings = answered(scene.loop, scene.forwards.review(FAR))
    assert [each.partition(":")[0] for each in warnings] == ["198.51.100.1 is in no inside network"]
    assert FAR not in scene.engine.forwards()
    assert scene.forwards.add(FAR, False, warnings) == warnings
    assert FAR in scene.engine.forwards()
    assert len(scene.file.threads) == 1
    assert threading.main_thread() not in scene.file.threads


def test_a_mistake_is_found_by_the_review(scene: Scene) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.9"):
        answered(scene.loop, scene.forwards.review(OWN))
    with pytest.raises(ValueError, match=r"127\.0\.0\.9"):
        scene.forwards.add(OWN, False)


def test_one_that_was_added_before_is_saved_without_a_review(scene: Scene) -> None:
    scene.forwards.add(SSH, False, ())
    assert answered(scene.loop, scene.forwards.review(SSH)) == ()
    assert scene.forwards.add(SSH, True, ()) == ()
    assert scene.file.threads == []
    assert "2222" in Path(scene.file.saved_path).read_text()


def test_it_is_reviewed_again_if_the_configuration_is_read_meanwhile(scene: Scene) -> None:
    review = scene.forwards.review(SSH)
    next(review)  # it has begun, by the first file
    Path(scene.file.path).write_text(TOML.replace("10.0.0.0", "192.168.1.0"))
    scene.engine.apply(scene.file.read().policy, scene.loop.clock())
    (warning,) = answered(scene.loop, review)
    assert warning.startswith("10.0.0.2 is in no inside network")
    assert len(scene.file.threads) == 2


def test_a_policy_that_changes_again_and_again_does_not_keep_it_from_being_added(
    scene: Scene,
) -> None:
    review = scene.forwards.review(FAR)

    def changing() -> Generator[None, None, Sequence[str]]:
        while True:
            try:
                yield next(review)
            except StopIteration as end:
                return end.value
            scene.engine.apply(replace(scene.engine.policy), scene.loop.clock())

    assert len(answered(scene.loop, changing())) == 1
    assert len(scene.file.threads) == 4
    assert scene.file.threads[-1] is threading.main_thread()
