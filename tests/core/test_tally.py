"""What a fast path has forwarded is counted on by a successor, and nothing of it twice."""

from __future__ import annotations

import pytest

from ipmasq.core.plain import Fields, StateError
from ipmasq.core.tally import Tally


def successor(tally: Tally) -> Tally:
    made = Tally()
    made.restore(Fields(tally.to_state(), "state.offloaded"))
    return made


def test_what_no_record_of_a_flow_has_is_left_to_the_successor_to_read() -> None:
    tally = Tally()
    first = tally.add(3, 300)
    second = tally.add(2, 1 << 40)
    assert (tally.packets, tally.bytes) == (5, 300 + (1 << 40))
    tally.keep(first)
    assert (successor(tally).packets, successor(tally).bytes) == (3, 300)
    tally.keep(second)
    assert (successor(tally).packets, successor(tally).bytes) == (5, 300 + (1 << 40))


def test_what_nobody_will_read_again_is_kept() -> None:
    tally = Tally()
    tally.add(3, 300)
    tally.keep_all()
    assert (successor(tally).packets, successor(tally).bytes) == (3, 300)


def test_a_tally_that_is_none_is_an_error_with_its_place() -> None:
    with pytest.raises(StateError, match=r"state\.offloaded\[1\]: expected an integer"):
        Tally().restore(Fields([1, "many"], "state.offloaded"))
