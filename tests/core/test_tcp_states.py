"""The table of TCP states: its shape, its names, its times. What it does is compared with RFC 7857 in
tests/conformance/test_tcp_states.py."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import Timeouts
from ipmasq.core.tcp_states import (
    CONNTRACK,
    NAMES,
    OVER,
    TABLE,
    Input,
    State,
    following,
    shown,
    timeout,
)

TIMES = Timeouts(tcp_opening=1.0, tcp_established=2.0, tcp_closing=3.0)


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACTIVE])
def test_a_reset_leads_to_trans_from_every_state_but_those_that_are_over(state: State):
    expected = state if state in OVER else State.TRANS
    assert following(state, Input.RESET) is expected


def test_what_is_not_in_the_table_leaves_the_state_as_it_is():
    for state in State:
        for event in Input:
            assert following(state, event) is TABLE.get((state, event), state)


def test_nothing_that_is_not_tcp_has_a_state_that_moves():
    assert all(following(State.ACTIVE, event) is State.ACTIVE for event in Input)


def test_every_state_has_a_name_that_conntrack_knows():
    assert {shown(state, replied) for state in State for replied in (False, True)} == set(NAMES)
    assert set(CONNTRACK) == set(State) - {State.ACTIVE}


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        (State.INIT, 1.0),
        (State.ESTABLISHED, 2.0),
        (State.C_FIN, 2.0),
        (State.S_FIN, 2.0),
        (State.C_S_FIN, 3.0),
        (State.TRANS, 3.0),
    ],
)
def test_each_state_has_its_idle_time(state: State, seconds: float):
    assert timeout(state, TIMES) == seconds


def test_states_are_written_as_the_rfc_writes_them():
    assert [str(state) for state in State][3:] == ["c-fin", "s-fin", "c+s-fin", "trans"]
