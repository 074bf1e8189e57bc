"""Work in a thread beside the loop: its order, its rests, and who does not want it any more."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from ipmasq.gateway import aside
from ipmasq.gateway.aside import Aside
from ipmasq.gateway.loop import Loop
from tests.gateway.firewall.waiting import answered


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def work(loop: Loop) -> Iterator[Aside]:
    work = Aside(loop)
    yield work
    work.end()


def test_pieces_are_done_in_their_order_one_at_a_time_in_another_thread(
    loop: Loop, work: Aside
) -> None:
    threads: list[int] = []
    under_way: list[int] = []

    def do(number: int) -> int:
        assert not under_way
        under_way.append(number)
        threads.append(threading.get_ident())
        return under_way.pop()

    pieces = [work.do(lambda number=number: lambda: do(number)) for number in range(20)]
    assert [answered(loop, work.wait(each)) for each in pieces] == list(range(20))
    assert threading.get_ident() not in threads


def test_what_fails_fails_for_who_waits_for_it_and_the_next_is_done(
    loop: Loop, work: Aside
) -> None:
    failing, next_one = work.do(lambda: lambda: 1 / 0), work.do(lambda: lambda: 7)
    with pytest.raises(ZeroDivisionError):
        answered(loop, work.wait(failing))
    assert answered(loop, work.wait(next_one)) == 7


def test_what_cannot_be_prepared_fails_as_well_wherever_its_turn_comes(
    loop: Loop, work: Aside
) -> None:
    prepare = {}.popitem  # raises KeyError
    failing = [work.do(prepare) for _ in range(2)]  # type: ignore[arg-type]
    next_one = work.do(lambda: lambda: 7)
    for each in failing:
        with pytest.raises(KeyError):
            answered(loop, work.wait(each))
    assert answered(loop, work.wait(next_one)) == 7


def test_it_rests_longer_than_it_has_computed(loop: Loop, work: Aside) -> None:
    """So no number of questions takes more than a tenth of the time."""
    began: list[float] = []

    def compute() -> None:
        sum(range(1_000_000))

    def prepare() -> object:
        began.append(loop.clock())
        return compute

    pieces = [work.do(prepare) for _ in range(3)]  # type: ignore[arg-type]
    for each in pieces:
        answered(loop, work.wait(each))
    pauses = [later - earlier for earlier, later in pairwise(began)]
    for pause, piece in zip(pauses, pieces, strict=False):
        assert piece.computed > 0
        assert pause >= (1 + aside.RESTS) * piece.computed


def test_a_piece_that_nobody_waits_for_is_not_begun(loop: Loop, work: Aside) -> None:
    done: list[str] = []
    go_on = threading.Event()
    first = work.do(lambda: lambda: go_on.wait(60))
    unwanted = [work.wait(work.do(lambda: lambda: done.append("unwanted"))) for _ in range(100)]
    for each in unwanted:
        next(each)
        each.close()
    last = work.do(lambda: lambda: done.append("last"))
    go_on.set()
    answered(loop, work.wait(first))
    answered(loop, work.wait(last))
    assert done == ["last"]


def test_the_lock_is_given_up_sooner_while_a_thread_works(loop: Loop) -> None:
    before = sys.getswitchinterval()
    works = Aside(loop), Aside(loop)
    pieces = [(each, each.do(lambda: sys.getswitchinterval)) for each in works]
    for each, piece in pieces:
        assert answered(loop, each.wait(piece)) == pytest.approx(aside.SWITCH)
    for each in works:
        each.end()
    assert sys.getswitchinterval() == before
