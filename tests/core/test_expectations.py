"""Expectations: who may meet one, how long it waits, and when it ends."""

from __future__ import annotations

import pytest

from ipmasq.core import events
from ipmasq.core.expectations import Expectation
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address
from ipmasq.wire.tcp import SYN, Segment
from tests.core.conversation import INSIDE, OUTSIDE, PUBLIC, Conversation, build, policy
from tests.core.restored import serialised
from tests.core.transfer import Transfer, active


@pytest.mark.row("6384-12b")
def test_an_expectation_waits_five_minutes_and_then_not_for_ever() -> None:
    for wait, comes in ((29, True), (299, True), (302, False)):
        talk = Conversation().open()
        said = talk.client(b"PORT 10,0,0,2,4,1\r\n").payload[5:-2].split(b",")
        public = Endpoint(PUBLIC, int(said[4]) * 256 + int(said[5]))
        talk.later(wait)
        syn = build(
            Endpoint(OUTSIDE.address, 20), public, Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b"")
        )
        assert bool(talk.engine.receive(syn, Side.OUTSIDE, talk.now).packets) is comes


@pytest.mark.row("6384-7.2b", "2577-4")
def test_an_expectation_is_met_once_and_by_the_peer_only() -> None:
    talk = Conversation().open()
    said = talk.client(b"PORT 10,0,0,2,4,1\r\n").payload[5:-2].split(b",")
    public = Endpoint(PUBLIC, int(said[4]) * 256 + int(said[5]))

    def syn(source: Endpoint) -> Reason:
        packet = build(source, public, Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b""))
        return talk.engine.receive(packet, Side.OUTSIDE, talk.now).reason

    assert syn(Endpoint(to_address("198.51.100.2"), 20)).is_drop
    assert syn(Endpoint(OUTSIDE.address, 20)) is Reason.TRANSLATED
    assert syn(Endpoint(OUTSIDE.address, 20)) is Reason.TRANSLATED  # the same SYN again
    assert syn(Endpoint(OUTSIDE.address, 4000)).is_drop


@pytest.mark.row("6384-7.2a")
def test_the_server_may_connect_the_moment_it_reads_the_rewritten_port() -> None:
    talk = Conversation().open()
    for _ in range(100):
        active(talk).ends()


def test_when_the_control_connection_ends_what_it_expected_ends_too() -> None:
    talk = Conversation(policy()).open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    assert list(talk.engine.expectations())
    assert talk.engine.close(talk.flow.id, talk.now)
    assert not list(talk.engine.expectations())
    talk.events += talk.engine.events()
    (ended,) = [e for e in talk.events if isinstance(e, events.ExpectationEnded)]
    assert ended.reason is Reason.MASTER_GONE
    talk.engine.check()


@pytest.mark.parametrize("side", Side, ids=lambda side: side.name.lower())
@pytest.mark.parametrize("bit", range(0, 160, 5))
def test_a_damaged_packet_does_not_use_up_what_was_expected(side: Side, bit: int) -> None:
    """A bit of its source port, say: its sender tries again, and its flow must still be expected."""
    talk = Conversation().open()
    if side is Side.OUTSIDE:
        said = talk.client(b"PORT 10,0,0,2,4,1\r\n").payload[5:-2].split(b",")
        ends = Endpoint(OUTSIDE.address, 20), Endpoint(PUBLIC, int(said[4]) * 256 + int(said[5]))
    else:
        talk.client(b"PASV\r\n")
        talk.server(b"227 Entering Passive Mode (198,51,100,1,4,1)\r\n")
        ends = INSIDE._replace(port=40001), Endpoint(OUTSIDE.address, 1025)
    packet = build(*ends, Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b""))
    packet.data[20 + bit // 8] ^= 1 << bit % 8
    talk.engine.receive(packet, side, talk.now)
    flow = Transfer(talk, *ends, side)
    flow.goes_on()
    (view,) = (each for each in talk.engine.flows() if each.id == max(talk.engine.table.flows))
    assert view.origin.startswith("expectation")


def test_an_expectation_is_the_same_after_its_state() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    (expectation,) = talk.engine.manager.expectations
    state = Fields(serialised(expectation.to_state(talk.now)), "expectation")
    after = Expectation.from_state(state, 1000.0, talk.engine.table)
    same = ("flow", "helper", "speaker", "announced", "target", "public", "peer", "opener")
    for name in (*same, "payer", "key", "mapping", "protocol"):
        assert getattr(after, name) == getattr(expectation, name)
    assert after.until - 1000.0 == expectation.until - talk.now


def test_an_expectation_without_its_flow_is_refused() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    (expectation,) = talk.engine.manager.expectations
    state = Fields(expectation.to_state(talk.now) | {"flow": 9}, "expectation")
    with pytest.raises(StateError, match=r"^expectation\.flow: there is no such flow$"):
        Expectation.from_state(state, talk.now, talk.engine.table)


def test_a_state_of_an_earlier_version_says_nothing_of_a_missed_expectation() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    (expectation,) = talk.engine.manager.expectations
    state = {**expectation.to_state(talk.now)}
    for missed in (True, False):
        state["is_missed"] = missed
        after = Expectation.from_state(Fields(state, "expectation"), talk.now, talk.engine.table)
        assert after.is_missed is missed
    del state["is_missed"]
    after = Expectation.from_state(Fields(state, "expectation"), talk.now, talk.engine.table)
    assert not after.is_missed
