"""How many lines of one kind are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.gateway.throttle import Sum, Throttle


def test_the_first_five_of_a_minute_are_written_and_the_rest_is_summed_up() -> None:
    throttle = Throttle()
    written = [throttle.admits("refused", f"line {n}", n * 0.01) for n in range(5000)]
    assert written == [True] * 5 + [False] * 4995
    assert list(throttle.closed(59.9)) == []
    assert list(throttle.closed(60.0)) == [Sum("refused", "line 0", 4995)]
    assert throttle.left_out == 4995
    assert throttle.admits("refused", "again", 60.0)


def test_kinds_do_not_cost_each_other_lines() -> None:
    throttle = Throttle(most=1)
    assert throttle.admits("one", "", 0.0)
    assert not throttle.admits("one", "", 1.0)
    assert throttle.admits("other", "", 2.0)


def test_what_is_seldom_is_never_summed_up() -> None:
    throttle = Throttle(most=2)
    assert throttle.admits("one", "", 0.0)
    assert throttle.admits("one", "", 1.0)
    assert list(throttle.closed(100.0)) == []


def test_kinds_for_which_there_is_no_room_count_as_one() -> None:
    throttle = Throttle(most=5, room=10)
    written = sum(throttle.admits(number, "line", 0.0) for number in range(1000))
    assert written == 10 + 5
    assert list(throttle.closed(60.0)) == [Sum(None, "line", 985)]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 20)), max_size=300),
    st.integers(1, 6),
    st.integers(1, 9),
)
def test_every_line_is_written_or_counted_and_memory_is_bounded(
    lines: list[tuple[int, float]], most: int, room: int
) -> None:
    throttle, now, written, counted = Throttle(most, 60.0, room), 0.0, 0, 0
    for kind, pause in lines:
        now += pause
        counted += sum(each.left_out for each in throttle.closed(now))
        written += throttle.admits(kind, "x", now)
        assert len(throttle._windows) <= room + 1
    counted += sum(each.left_out for each in throttle.closed(now + 60))
    assert written + counted == len(lines)
    assert throttle.left_out == counted
    assert not throttle._windows
