"""Budgets of memory and of work, by host and in total."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipmasq.core.budget import MOST_RATES, Rate
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.policy import Limits
from ipmasq.core.reasons import Reason
from tests.core.conversation import (
    Conversation,
    Side,
    policy,
)
from tests.core.restored import serialised

HOST = b"\x0a\0\0\2"
PORT = b"PORT 10,0,0,2,4,1\r\n"


@pytest.mark.row("A-16", "A-29")
def test_nothing_is_kept_of_a_connection_whose_handshake_is_not_complete() -> None:
    talk = Conversation()
    talk.send(Side.INSIDE, b"", -1, flags=0x02)
    for at in range(0, 60_000, 1000):
        talk.send(Side.INSIDE, b"x" * 1000, at)
    assert talk.engine.manager.memory.used == 0


@pytest.mark.row("A-16", "A-21")
def test_streams_of_one_host_take_its_share_and_no_more() -> None:
    limits = replace(Limits(), stream_memory=20_000, stream_memory_per_host=10_000)
    talk = Conversation(policy(limits=limits)).open()
    for at in range(1, 30_000, 1000):
        talk.send(Side.INSIDE, b"x" * 1000, at)
    memory = talk.engine.manager.memory
    assert 9_000 <= memory.used <= 10_000
    refused = talk.send(Side.INSIDE, b"x" * 1000, 31_001)
    assert refused.reason is Reason.STREAM_LIMIT
    flow = talk.flow
    talk.engine.close(flow.id, talk.now)
    assert memory.used == 0


def test_lines_that_announce_flows_cost_more_of_what_a_host_may_have_done() -> None:
    limits = replace(Limits(), lines_per_host=100)
    talk = Conversation(policy(limits=limits)).open()
    for _ in range(9):
        assert talk.client(PORT).reason is Reason.TRANSLATED
    talk.client(PORT)
    at = talk.said[Side.INSIDE]
    assert talk.client(PORT).reason is Reason.WORK_LIMIT
    talk.later(1)
    assert talk.client(PORT, at=at).reason is Reason.TRANSLATED


@pytest.mark.row("A-16")
def test_one_host_that_has_lines_looked_at_leaves_others_their_share() -> None:
    rate = Rate(per_host=100, total=150)
    rate.spend(b"one", rate.allowance(b"one", 5.0), 5.0)
    assert rate.allowance(b"one", 5.0) == 0
    assert rate.allowance(b"two", 5.0) in (49, 50)
    assert rate.allowance(b"one", 5.5) in (49, 50)
    assert rate.allowance(b"two", 7.0) == 100


def test_the_hosts_whose_work_is_remembered_are_bounded() -> None:
    rate = Rate(per_host=1, total=1e9)
    for number in range(MOST_RATES + 500):
        rate.spend(number.to_bytes(4, "big"), 5, number / 1e6)
    assert len(rate._spent_until) <= MOST_RATES


def test_a_rate_is_the_same_after_its_state_on_another_clock() -> None:
    rate, after = Rate(8, 16), Rate(8, 16)  # in seconds that are exact
    rate.spend(b"\x0a\0\0\x02", 4, 100.0)
    rate.spend(b"\x0a\0\0\x03", 1, 90.0)
    after.restore(Fields(serialised(rate.to_state(100.0)), "rate"), 500.0)
    for host in (b"\x0a\0\0\x02", b"\x0a\0\0\x03"):
        for later in (0.0, 0.25, 5.0):
            assert after.allowance(host, 500.0 + later) == rate.allowance(host, 100.0 + later)


@pytest.mark.parametrize("state", [{"hosts": [], "all": None}, {"hosts": [[HOST, None]], "all": 0}])
def test_a_debt_that_never_ends_is_no_debt(state: object) -> None:
    with pytest.raises(StateError):
        Rate(1.0, 1.0).restore(Fields(state, "work"), 0.0)
