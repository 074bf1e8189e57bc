"""Engine alone = fast path + engine, whatever happens; and the ways in which it would not be so."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from types import UnionType

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ipmasq.core.offloading import Command, Move, Offload, Rewrite, Track, Withdraw
from ipmasq.offload.offload import Offloader
from tests.conformance.packets import RST, SYN
from tests.offload.two import EVENTS, Doubled, FastPath, Two, live
from tests.planes.ebpf.model import Model


class Anything(RuleBasedStateMachine):
    def __init__(self, fast: FastPath | None = None) -> None:
        super().__init__()
        self.stress = Doubled(Two(fast or Model(), Random(2)))

    @invariant()
    def both_know_the_same(self) -> None:
        self.stress.check()

    @rule(data=st.data(), event=st.sampled_from(EVENTS))
    def something_happens(self, data: st.DataObject, event) -> None:
        event(self.stress, lambda n: data.draw(st.integers(0, n - 1)))


class TestAnything(Anything.TestCase):
    settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("seed", [*range(8), 29])
def test_a_long_life_is_the_same_with_a_fast_path(seed: int) -> None:
    two = Two(Model(), Random(seed))
    live(two, seed, 2500)
    assert two.forwarded > 50
    assert two.restarts > 5


def test_a_fast_path_with_little_room_refuses_and_breaks_no_law() -> None:
    two = Two(Model(capacity=3), Random(1))
    live(two, 1, 2500)
    assert two.offload.refused
    assert len(two.fast.halves) <= 2  # type: ignore[attr-defined]


# -- planted mistakes


class SwallowsFin(Model):
    closing = SYN | RST


class SwallowsReset(Model):
    closing = SYN


class CountsNothing(Model):
    def _count(self, *_: object) -> None:
        pass


class FinishesPartialChecksums(Model):
    def _checksum(self, data: bytearray, before: bytes, rewrite: bytes, partial: bool) -> None:
        super()._checksum(data, before, rewrite, False)


class SumsWhatHadNoSum(Model):
    def _checksum(self, data: bytearray, before: bytes, rewrite: bytes, partial: bool) -> None:
        if data[9] == 17 and data[26:28] == b"\0\0":
            data[26:28] = b"\0\1"
        super()._checksum(data, before, rewrite, partial)


class RepeatsWhatIsOnlyKnown(Model):
    def track(self, slot: int) -> None:
        pass


class BelievesAnything(Model):
    def _is_in_window(self, *_: object) -> bool:
        return True


class BelievesAnyAcknowledgment(Model):
    def _is_in_window(self, position: tuple[int, int], known: list[int], reach: int) -> bool:
        return super()._is_in_window(position[:1], known[:1], reach)  # type: ignore[arg-type]


class TakesPlacesBack(Model):
    def _moved(self, known: list[int], position: tuple[int, int]) -> list[int]:
        return list(position)


class BeginsNowhere(Model):
    def offload(self, slot: int, half: Rewrite) -> None:
        super().offload(slot, half._replace(position=0))


class Ignores(Offloader):
    ignored: type[Command] | UnionType

    def carry_out(self, commands: Sequence[Command]) -> None:
        super().carry_out([each for each in commands if not isinstance(each, self.ignored)])


class IgnoresMoves(Ignores):
    ignored = Move


class IgnoresClosing(Ignores):
    ignored = Track


class LeavesStaleEntries(Ignores):
    ignored = Track | Withdraw


class AnswersNobody(Offloader):
    def counters(self, flow: int) -> None:
        pass


class AdoptsNothingOnDemand(Offloader):
    def _adopt_on_demand(self, flow: int) -> None:
        pass


class CountsTwiceWhatItAdopts(Offloader):
    def _adopt(self, command: Offload | Track, offloaded: bool) -> bool:
        inherited = self._engine.manager.offloading.inherited
        if command.flow in inherited:
            inherited[command.flow] = 0, 0
        return super()._adopt(command, offloaded)


class SwapsTheReply(Offloader):
    def _enter(self, command: Offload | Track, offloaded: bool) -> None:
        reply = command.reply._replace(rewrite=command.original.rewrite)
        super()._enter(command._replace(reply=reply), offloaded)


@pytest.mark.parametrize(
    ("model", "offload"),
    [
        (SwallowsFin, Offloader),
        (SwallowsReset, Offloader),
        (CountsNothing, Offloader),
        (FinishesPartialChecksums, Offloader),
        (SumsWhatHadNoSum, Offloader),
        (RepeatsWhatIsOnlyKnown, Offloader),
        (BelievesAnything, Offloader),
        (BelievesAnyAcknowledgment, Offloader),
        (TakesPlacesBack, Offloader),
        (BeginsNowhere, Offloader),
        (Model, AdoptsNothingOnDemand),
        (Model, CountsTwiceWhatItAdopts),
        (Model, IgnoresClosing),
        (Model, LeavesStaleEntries),
        (Model, AnswersNobody),
        (Model, IgnoresMoves),
        (Model, SwapsTheReply),
    ],
    ids=lambda each: each.__name__,
)
def test_a_planted_mistake_is_caught(model: type[Model], offload: type[Offloader]) -> None:
    def lives() -> None:
        for seed in range(8):
            live(Two(model(), Random(seed), offload), seed, 2500)

    with pytest.raises((AssertionError, KeyError)):
        lives()
