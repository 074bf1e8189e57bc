"""What another member of a group has served goes on in a running engine, beside what runs there."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.plain import StateError
from ipmasq.core.policy import Policy, Share
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address, to_network
from ipmasq.wire.tcp import ACK, SYN, Segment
from tests.core.conversation import OUTSIDE, PUBLIC, Conversation, build, policy, read
from tests.core.restored import kept
from tests.core.stress import POLICY, Stress
from tests.core.test_restoring import happens
from tests.core.transfer import active

OWN = to_address("203.0.113.99")
HOST = Endpoint(to_address("10.99.0.2"), 40000)
START = 2.0**24


def divided(whole: Policy) -> Policy:
    """The policy of a group whose share `two` is all of this one, and whose share `one` is another network's."""
    one = Share("one", (OWN,), (to_network("10.99.0.0/24"),))
    two = Share("two", whole.public, whole.inside)
    return replace(whole, inside=(*whole.inside, *one.inside), shares=(one, two))


def opened(engine: Engine, now: float, port: int = 80) -> Endpoint:
    """Open a flow of the host of share `one`; return its public endpoint."""
    segment = Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b"")
    packet = build(HOST, Endpoint(OUTSIDE.address, port), segment)
    return read(engine.receive(packet, Side.INSIDE, now).packets[0]).source


def member(whole: Policy, now: float) -> Engine:
    """A member that serves share `one` only, with some flows."""
    engine = Engine(divided(whole).serving(["one"]), Random(7).randrange, now)
    for port in range(80, 90):
        opened(engine, now, port)
    return engine


def test_a_session_with_shifted_numbers_and_an_expectation_goes_on_beside_others() -> None:
    talk = Conversation(divided(policy()).serving(["two"])).open()
    running = active(talk)
    said = talk.client(b"PORT 10,0,0,2,4,2\r\n").payload
    records = kept(talk.engine, talk.now)
    engine = talk.engine = member(policy(), talk.now)
    before = {view.id: view for view in engine.flows()}
    engine.apply(divided(policy()).serving(["one", "two"]), talk.now)
    assert engine.join(records, talk.now) == 2
    engine.check()
    assert {number: engine.flow(number) for number in before} == before
    running.goes_on()
    assert talk.client(b"PORT 10,0,0,2,4,1\r\n").payload.startswith(b"PORT 203,0,113,1,")
    port = said[5:-2].split(b",")
    expected = Endpoint(PUBLIC, int(port[4]) << 8 | int(port[5]))
    syn = Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b"")
    came = engine.receive(
        build(Endpoint(OUTSIDE.address, 20), expected, syn), Side.OUTSIDE, talk.now
    )
    assert read(came.packets[0]).destination == Endpoint(to_address("10.0.0.2"), 4 << 8 | 2)
    engine.check()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_has_happened_is_joined_and_left_again(seed: int) -> None:
    stress = Stress(START)
    for step in happens(stress, Random(seed), 300):
        if step % 30:
            continue
        whole = stress.engine.policy
        engine = member(whole, stress.now)
        own = {view.id: view for view in engine.flows()}
        used = tuple(each.use for each in stress.engine.manager.registered.values())
        both = replace(divided(whole), helpers=used)
        engine.apply(both.serving(["one", "two"]), stress.now)
        joined = engine.join(kept(stress.engine, stress.now), stress.now)
        engine.check()
        assert joined == len(stress.engine.table.flows)
        assert len(engine.table.flows) == len(own) + joined
        engine.apply(both.serving(["one"]), stress.now)
        engine.check()
        assert {view.id: view for view in engine.flows()} == own


@pytest.mark.row("6888-8")
def test_ports_are_held_as_long_as_either_member_would_have() -> None:
    for lost_here, lost_there in ((None, START - 20), (START - 20, None), (START - 90, START - 20)):
        other = Engine(divided(POLICY).serving(["two"]), Random(3).randrange, START)
        engine = member(POLICY, START)
        for each, lost_at in (engine, lost_here), (other, lost_there):
            if lost_at is not None:
                each.manager.admission.port_hold.lost_at = lost_at
        engine.apply(divided(POLICY).serving(["one", "two"]), START)
        engine.join(kept(other, START), START)
        assert engine.manager.admission.port_hold.lost_at == START - 20


def test_the_ports_in_use_are_counted_once_after_others_have_joined() -> None:
    engine = member(POLICY, START)
    other = Engine(divided(POLICY).serving(["two"]), Random(3).randrange, START)
    used = {pool.address: pool.used for pool in engine.table.mappings.usage()}
    engine.apply(divided(POLICY).serving(["one", "two"]), START)
    engine.join(kept(other, START), START)
    assert used
    assert {pool.address: pool.used for pool in engine.table.mappings.usage()} == used


def test_the_mappings_of_hosts_stay_whatever_else_a_member_serves() -> None:
    engine = member(policy(), 0.0)
    public = opened(engine, 0.0)
    for names in (["one", "two"], ["one"]):
        engine.apply(divided(policy()).serving(names), 0.0)
        assert opened(engine, 0.0, 1000 + len(names)) == public


def test_records_that_are_damaged_leave_nothing_behind() -> None:
    talk = Conversation(divided(policy()).serving(["two"])).open()
    active(talk)
    records = [each for each in kept(talk.engine, 0.0) if each.kind != Kind.POOL]
    engine = member(policy(), 0.0)
    own = {view.id: view for view in engine.flows()}
    engine.apply(divided(policy()).serving(["one", "two"]), 0.0)
    with pytest.raises(StateError, match="there is no pool"):
        engine.join(records, 0.0)
    engine.apply(divided(policy()).serving(["one"]), 0.0)
    engine.check()
    assert {view.id: view for view in engine.flows()} == own


def test_a_connection_goes_on_without_a_helper_that_is_not_loaded_here() -> None:
    talk = Conversation(divided(policy()).serving(["two"])).open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    records = kept(talk.engine, talk.now)
    whole = policy(helpers=())
    engine = talk.engine = member(whole, talk.now)
    engine.apply(divided(whole).serving(["one", "two"]), talk.now)
    engine.join(records, talk.now)
    assert talk.client(b"NOOP\r\n").payload == b"NOOP\r\n"


def test_what_belongs_to_another_member_is_dropped_without_a_word() -> None:
    engine = member(policy(), 0.0)
    lost = build(
        Endpoint(to_address("10.0.0.2"), 5), OUTSIDE, Segment(0, 0, 1, 1, ACK, 9, 0, 0, b"")
    )
    verdict = engine.receive(lost, Side.INSIDE, 0.0)
    assert (verdict.reason, verdict.packets) == (Reason.ELSEWHERE, ())
    lost = build(OUTSIDE, Endpoint(PUBLIC, 61234), Segment(0, 0, 1, 1, ACK, 9, 0, 0, b""))
    verdict = engine.receive(lost, Side.OUTSIDE, 0.0)
    assert (verdict.reason, verdict.packets) == (Reason.ELSEWHERE, ())
    assert engine.outgoing() == []
    assert PUBLIC in {claim.address for claim in engine.claims()}, "the host must not answer"


def test_a_host_reaches_the_public_address_of_another_member_as_any_other() -> None:
    engine = member(policy(own=frozenset()), 0.0)
    segment = Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b"")
    seen = read(
        engine.receive(build(HOST, Endpoint(PUBLIC, 80), segment), Side.INSIDE, 0.0).packets[0]
    )
    assert (seen.source.address, seen.destination) == (OWN, Endpoint(PUBLIC, 80))


def test_the_stress_has_something_to_join() -> None:
    stress = Stress(START)
    assert POLICY.public
    for _ in happens(stress, Random(0), 100):
        pass
    assert stress.engine.table.flows
