"""The state of an engine as plain values: nothing is lost, whatever has happened; and what cannot be restored is
refused as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from ipmasq.core import events
from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.operate import Basis
from ipmasq.core.plain import StateError
from ipmasq.core.policy import HelperUse
from ipmasq.core.reasons import Reason
from ipmasq.core.records import FLOW_NAMES, VERSION
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import to_address, to_network
from tests.core.conversation import RST, Conversation, Side, policy
from tests.core.restored import Journal, Restored, difference, kept, plain, restored, written
from tests.core.stress import CHANGES, POLICY, Stress
from tests.core.transfer import active

START = 2.0**24
"""Ages are exact near this time (see `plain`), so that not even a rounding error tells the engines apart."""


class RestartedStress(Stress):
    def __init__(self) -> None:
        super().__init__(START)
        self.both = Restored(START)
        self.engine = self.both  # type: ignore[assignment]


def happens(stress: Stress, chance: Random, steps: int) -> Iterator[int]:
    """Let something happen, so many times."""
    for step in range(steps):
        kind = chance.randrange(120)  # operators act seldom, or nothing would live long
        event = Stress.EVENTS[kind] if kind < len(Stress.EVENTS) else Stress.EVENTS[kind % 8]
        event(stress, chance.randrange)
        yield step


class Restarts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stress = RestartedStress()

    @rule(data=st.data(), event=st.sampled_from(Stress.EVENTS))
    def something_happens(self, data: st.DataObject, event) -> None:
        event(self.stress, lambda n: data.draw(st.integers(0, n - 1)))
        self.stress.both.restart(self.stress.now)


class TestRestarts(Restarts.TestCase):
    settings = settings(max_examples=20, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("seed", range(4))
def test_an_engine_that_is_replaced_after_every_step_is_the_same_as_one_that_is_not(seed: int):
    stress = RestartedStress()
    for step in happens(stress, Random(seed), 300):
        stress.both.restart(stress.now)
        if step % 10 == 0:
            stress.check()
    assert stress.both.restarts == 300
    assert stress.received > 200


@pytest.mark.parametrize("jump", [3600.0, -(2.0**24) + 64, 2.0**22])
def test_a_state_is_the_same_on_another_clock(jump: float):
    stress, chance = Stress(START), Random(1)
    for step in happens(stress, chance, 400):
        if step % 8 == 0:
            before, later = plain(stress.engine, stress.now), stress.now + jump
            after = plain(restored(stress.engine, chance, stress.now, later), later)
            assert before == after, difference("state", before, after)


def test_on_another_clock_a_flow_has_the_rest_of_its_idle_time() -> None:
    for wait, lives in ((39.0, True), (41.0, False)):
        talk = Conversation().open()
        talk.later(7400)
        engine = restored(talk.engine, Random(1), talk.now, 1e6)
        engine.tick(1e6 + wait)
        assert bool(list(engine.flows())) is lives


@pytest.mark.parametrize("seed", range(3))
def test_under_another_policy_what_is_restored_is_what_a_reload_leaves(seed: int):
    stress, chance = Stress(START), Random(seed)
    changed = 0
    for step in happens(stress, chance, 600):
        engine, now = stress.engine, stress.now
        if step % 4:
            continue
        after = replace(POLICY, **CHANGES[chance.randrange(len(CHANGES))])  # type: ignore[arg-type]
        if Basis.of(after) == Basis.of(engine.policy):
            continue
        # The code of a helper is what is installed; a reload can change it, too.
        code = {use.use.name: use.use.make for use in engine.manager.registered.values()}
        after = replace(after, helpers=tuple(_with(use, code) for use in after.helpers))
        reloaded = restored(engine, Random(1), now)
        reloaded.apply(after, now)
        direct = type(engine).from_records(after, Random(1).randrange, kept(engine, now), now)
        one, other = plain(reloaded, now), plain(direct, now)
        assert one == other, difference("state", one, other)
        assert reloaded.events() == direct.events()
        changed += 1
    assert changed > 20


def _with(use: HelperUse, code: dict[str, Any]) -> HelperUse:
    return replace(use, make=code.get(use.name, use.make))


def test_a_flow_that_the_new_policy_does_not_allow_is_closed() -> None:
    talk = Conversation().open()
    narrow = replace(talk.engine.policy, inside=(to_network("10.9.0.0/24"),))
    state = kept(talk.engine, talk.now, 5.0)
    engine = Engine.from_records(narrow, Random(1).randrange, state, 5.0)
    assert not list(engine.flows())
    (closed,) = [each for each in engine.events() if isinstance(each, events.FlowClosed)]
    assert closed.reason is Reason.POLICY


# -- helpers


class Forgetful(Ftp):
    """It has no state that could be restored."""

    state_version = None


class Newer(Ftp):
    state_version = 2


class Broken(Ftp):
    def restore(self, state: object) -> None:
        raise KeyError("a mistake of the helper")


def restarted(talk: Conversation, make: type[Ftp]) -> Engine:
    """The conversation goes on with an engine whose helper is of this class."""
    (use,) = talk.engine.policy.helpers
    new = replace(talk.engine.policy, helpers=(replace(use, make=make),))
    state = kept(talk.engine, talk.now)
    talk.engine = Engine.from_records(new, Random(1).randrange, state, talk.now)
    return talk.engine


def test_a_helper_continues_in_the_middle_of_a_dialogue() -> None:
    talk = Conversation().open()
    talk.client(b"PASV\r\n")
    engine = restarted(talk, Ftp)
    assert engine.events() == []
    talk.server(b"227 Entering Passive Mode (198,51,100,1,4,1)\r\n")
    assert [each.protocol for each in engine.expectations()] == [6]


@pytest.mark.parametrize("make", [Forgetful, Newer, Broken])
def test_a_helper_that_cannot_take_over_its_state_starts_anew_and_says_so(make: type[Ftp]) -> None:
    talk = Conversation().open()
    talk.client(b"PASV\r\n")
    talk.hears(Side.OUTSIDE, 6)
    engine = restarted(talk, make)
    released, bound = engine.events()
    assert isinstance(released, events.HelperReleased)
    assert released.reason is Reason.HELPER_RESTARTED
    assert isinstance(bound, events.HelperBound)
    assert engine.helpers()[0].watching == 1
    talk.client(b"NOOP\r\n")  # where a line begins is known from the next one on
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    assert len(list(engine.expectations())) == 1
    engine.check()


def test_flows_of_a_helper_are_counted_although_the_record_of_its_counters_is_older() -> None:
    """A counter that went below 0 made the state unreadable for the next engine."""
    talk = Conversation()
    older = [each for each in kept(talk.engine, talk.now) if each.kind == Kind.REST]
    talk.open()
    newer = [each for each in kept(talk.engine, talk.now) if each.kind != Kind.REST]
    policy = talk.engine.policy
    engine = Engine.from_records(policy, Random(1).randrange, [*older, *newer], talk.now)
    assert engine.helpers()[0].watching == 1
    for flow in list(engine.flows()):
        engine.close(flow.id, talk.now)
    assert engine.helpers()[0].watching == 0
    again = kept(engine, talk.now)
    assert Engine.from_records(policy, Random(1).randrange, again, talk.now).table.count == 0


def test_a_helper_that_is_gone_is_unloaded_from_its_flows() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    none = replace(talk.engine.policy, helpers=())
    state = kept(talk.engine, talk.now)
    engine = Engine.from_records(none, Random(1).randrange, state, talk.now)
    assert not engine.helpers()
    assert not list(engine.expectations())
    reasons = [e.reason for e in engine.events() if isinstance(e, events.HelperReleased)]
    assert reasons == [Reason.HELPER_UNLOADED]
    engine.check()


def test_a_transfer_continues_and_its_control_connection_is_still_linked() -> None:
    talk = Conversation().open()
    transfer = active(talk)
    restarted(talk, Ftp)
    for _ in range(18):
        talk.later(600)
        transfer.goes_on()
    assert talk.server(b"").reason is Reason.TRANSLATED


def test_a_rewritten_connection_stays_shifted() -> None:
    talk = Conversation().open()
    sent = talk.client(b"PORT 10,0,0,2,4,1\r\n")
    (before,) = talk.engine.flows()
    engine = restarted(talk, Ftp)
    (after,) = engine.flows()
    assert len(sent.payload) != len(b"PORT 10,0,0,2,4,1\r\n")
    assert (after.shift_out, after.helper) == (before.shift_out, "ftp")
    assert after.shift_out.delta == len(sent.payload) - len(b"PORT 10,0,0,2,4,1\r\n")


def test_a_line_that_is_withheld_waits_for_its_rest_however_long_nobody_ran() -> None:
    talk = Conversation()
    journal = Journal(talk.engine, talk.now)
    talk.open()
    talk.client(b"PORT 10,0")
    journal.follow(talk.engine, talk.now)
    talk.now += 1000
    talk.engine = Engine.from_records(
        talk.engine.policy, Random(1).randrange, journal.last.values(), talk.now, is_lagging=True
    )
    talk.engine.tick(talk.now)
    assert talk.engine.outgoing() == []
    sent = talk.client(b",0,2,4,1\r\n")
    assert sent.payload.startswith(b"PORT 203,0,113,1,")


def outdated(talk: Conversation) -> None:
    """A session goes on, and then with an engine that has a state from before."""
    state, before = kept(talk.engine, talk.now), talk.now
    heard = 0
    for port in (b"4,1", b"14,201"):
        heard += len(talk.client(b"PORT 10,0,0,2," + port + b"\r\n").payload)
        talk.heard[Side.OUTSIDE] = heard
        talk.server(b"200 fine\r\n")
        talk.hears(Side.INSIDE, talk.said[Side.OUTSIDE])
    talk.engine = Engine.from_records(
        talk.engine.policy, Random(1).randrange, state, before, is_lagging=True
    )
    talk.events.clear()


@pytest.mark.parametrize("side", [Side.INSIDE, Side.OUTSIDE])
def test_a_session_that_was_in_use_since_its_state_was_recorded_is_reset(side: Side) -> None:
    talk = Conversation().open()
    outdated(talk)
    heard = talk.heard[side]
    talk.send(side, b"NOOP\r\n")
    assert not talk.events
    again = talk.send(side, b"NOOP\r\n")
    assert again.reason is Reason.OUTDATED
    assert not again.through
    (answer,) = again.answers
    assert answer.segment.flags & RST
    assert answer.segment.sequence == talk.first[side.other] + heard, "it is believed (RFC 5961)"
    (closed,) = [each for each in talk.events if isinstance(each, events.FlowClosed)]
    assert closed.reason is Reason.OUTDATED
    assert not list(talk.engine.flows())


def test_a_session_is_reset_if_what_is_missing_was_said_by_one_end_only() -> None:
    """Where the other end acknowledges that, it would be skipped by as many bytes too many as it was lengthened."""
    talk = Conversation().open()
    state, before = kept(talk.engine, talk.now), talk.now
    heard = len(talk.client(b"PORT 10,0,0,2,4,1\r\n").payload)
    talk.engine = Engine.from_records(
        talk.engine.policy, Random(1).randrange, state, before, is_lagging=True
    )
    assert talk.hears(Side.OUTSIDE, heard).reason is Reason.OUTDATED
    assert not list(talk.engine.flows())


def test_a_session_whose_inspection_began_with_bytes_in_flight_is_not_reset() -> None:
    """After a restart the positions of a plain flow are not known exactly, nor where its inspection begins then."""
    talk = Conversation(policy(helpers=())).open()

    def restart() -> None:
        state = kept(talk.engine, talk.now)
        used = talk.engine.policy
        talk.engine = Engine.from_records(used, Random(1).randrange, state, talk.now, True)

    restart()
    talk.server(b"220 welcome\r\n")
    talk.server(b"220 once more\r\n")
    talk.engine.apply(policy(), talk.now)
    restart()
    assert talk.hears(Side.INSIDE, talk.said[Side.OUTSIDE]).reason is Reason.TRANSLATED
    assert talk.client(b"NOOP\r\n").payload == b"NOOP\r\n"


def test_a_session_that_has_gone_on_with_the_latest_state_is_not_reset() -> None:
    """Both ends acknowledge more than has come here: they may, as with an engine that was not restored."""
    talk = Conversation().open()
    talk.engine = Engine.from_records(
        talk.engine.policy,
        Random(1).randrange,
        kept(talk.engine, talk.now),
        talk.now,
        is_lagging=True,
    )
    assert talk.client(b"NOOP\r\n").payload == b"NOOP\r\n"
    talk.hears(Side.OUTSIDE, 6)
    talk.said[Side.INSIDE] += 6
    talk.heard[Side.INSIDE] = 20
    for _ in range(3):
        assert talk.send(Side.INSIDE, b"NOOP\r\n").reason is Reason.HELD
    assert list(talk.engine.flows())


# -- what cannot be restored


def a_state(seed: int) -> tuple[Engine, float, Any]:
    """An engine in the middle of everything, and its state."""
    stress = Stress(START)
    for step in happens(stress, Random(seed), 4000):
        if step > 200 and _is_rich(stress.engine):
            break
    assert _is_rich(stress.engine)
    return stress.engine, stress.now, plain(stress.engine, stress.now)


def _is_rich(engine: Engine) -> bool:
    return any(flow.inspector for flow in engine.table.flows.values()) and bool(
        list(engine.expectations())
    )


def restore(records: Any) -> Engine:
    return Engine.from_records(POLICY, Random(1).randrange, written(records, START), START)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "state: it has no record with its version"),
        ([(Kind.REST, 0, None)], "state: expected a dict or list, not None"),
        ([(Kind.REST, 0, {})], "state.version: is missing"),
        (
            [(0, 0, {"version": VERSION + 1})],
            f"state.version: expected {VERSION}, not {VERSION + 1}",
        ),
        ([(0, 0, {"version": "1"})], "state.version: expected an integer, not str '1'"),
        ([(0, 0, {"version": VERSION})], "state.helpers: is missing"),
        ([(99, 0, {})], "state: there is no kind of record 99 with key 0"),
        ([(3, "x", {})], "state: there is no kind of record 3 with key 'x'"),
    ],
)
def test_a_state_of_another_version_is_refused(records: Any, message: str) -> None:
    with pytest.raises(StateError) as caught:
        restore(records)
    assert str(caught.value) == message


def test_an_error_says_what_is_wrong_and_where() -> None:
    talk = Conversation(policy()).open()
    state = plain(talk.engine, talk.now)
    (row,) = [row for kind, _, row in state if kind == Kind.FLOW]
    row[FLOW_NAMES.index("out_packets")] = "many"
    with pytest.raises(StateError) as caught:
        Engine.from_records(talk.engine.policy, Random(1).randrange, written(state, 0.0), 0.0)
    assert str(caught.value) == "flow 1.out_packets: expected an integer, not str 'many'"


def test_values_that_contradict_each_other_are_refused() -> None:
    talk = Conversation(policy()).open()
    state = plain(talk.engine, talk.now)
    (row,) = [row for kind, _, row in state if kind == Kind.FLOW]
    row[FLOW_NAMES.index("offloadable")] = True  # and yet it is inspected
    with pytest.raises(StateError, match="contradict"):
        Engine.from_records(talk.engine.policy, Random(1).randrange, written(state, 0.0), 0.0)


JUNK = (
    None,
    True,
    -1,
    0,
    1,
    7,
    255,
    70000,
    1 << 80,
    1.5,
    -1e9,
    1e300,
    "",
    "x",
    b"",
    b"\0" * 4,
    [],
    {},
    [[]],
    [None],
)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_state_is_refused_or_consistent(seed: int):
    """One value anywhere is another one, or is missing."""
    chance = Random(seed)
    engine, now, state = a_state(seed % 4)
    policy = replace(
        engine.policy, helpers=tuple(e.use for e in engine.manager.registered.values())
    )
    refused = 0
    for _ in range(100):
        damaged = deepcopy(state)
        record = chance.choice(damaged)
        at = chance.choice((0, 1, *[2] * 8))
        if at == 2 and isinstance(record[2], dict | list) and chance.randrange(8):
            _damage(record[2], chance)
        else:
            record[at] = chance.choice(JUNK)
        try:
            made = Engine.from_records(policy, chance.randrange, written(damaged, now), now)
        except StateError:
            refused += 1
        else:
            made.check()
    assert refused > 20


def _damage(state: Any, chance: Random) -> None:
    keys = list(state) if isinstance(state, dict) else list(range(len(state)))
    if not keys:
        return
    key = chance.choice(keys)
    if isinstance(state[key], dict | list) and state[key] and chance.randrange(6):
        _damage(state[key], chance)
    elif chance.randrange(3):
        state[key] = chance.choice(JUNK)
    else:
        del state[key]


def test_flows_whose_public_address_is_gone_end_with_the_restart() -> None:
    talk = Conversation(policy()).open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    gone = replace(talk.engine.policy, public=(to_address("203.0.113.77"),))
    made = Engine.from_records(gone, Random(1).randrange, kept(talk.engine, talk.now), talk.now)
    made.check()
    closed = [each.reason for each in made.events() if isinstance(each, events.FlowClosed)]
    assert closed == [Reason.ADDRESS_GONE]
    assert (made.table.count, len(made.manager.expectations)) == (0, 0)
