"""Members describe themselves in the store, and see each other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NoReturn

import pytest

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.lease import key
from ipmasq.continuity.members import LOST_AFTER, Member, Members, Roll
from tests.continuity.stores import Store

SEAL = Seal(b"a secret of the operator", "group", "members")
ONE = Member("one", "active", 3, ("192.0.2.1", 7343), version="0.1")
TWO = Member("two", "standby", 3, None, 0.2, True, 1, "0.1")


def told(members: list[Member]) -> list[Member]:
    return [replace(each, age=0.0) for each in members]


def test_members_see_each_other_until_one_leaves(store: Store):
    members, client = Members(SEAL, "group"), store.client()
    assert told(members.exchange(client, TWO)) == [TWO]
    assert told(members.exchange(client, ONE)) == [ONE, TWO]
    members.leave(client, "two")
    assert told(members.exchange(client, ONE)) == [ONE]


@pytest.mark.row("A-40")
def test_a_description_that_is_not_authentic_is_left_out(store: Store):
    members, client = Members(SEAL, "group"), store.client()
    Members(Seal(b"the secret of an attacker", "group", "members"), "group").exchange(client, TWO)
    client.hset(key("group", "members"), "three", b"nonsense")
    assert told(members.exchange(client, ONE)) == [ONE]


def test_a_member_that_says_nothing_any_more_is_lost():
    assert not ONE.is_lost
    assert replace(ONE, age=LOST_AFTER + 1).is_lost


def test_two_members_of_the_same_name_are_noticed_by_both_and_a_new_process_is_none(store: Store):
    client = store.client()
    first, namesake = Members(SEAL, "group"), Members(SEAL, "group")
    first.exchange(client, ONE)
    namesake.exchange(client, ONE)
    assert not namesake.has_namesake, "the first may have ended"
    first.exchange(client, ONE)
    assert first.has_namesake
    namesake.exchange(client, ONE)
    assert namesake.has_namesake
    namesake.exchange(client, ONE)
    assert not namesake.has_namesake, "the other one has ended meanwhile"


def test_who_is_not_heard_of_is_lost_and_asked_all_the_same_while_the_store_does_not_answer(
    store: Store,
):
    now = 100.0
    rolls = [
        Roll(store.connect, SEAL, "group", partial(_same, each), lambda: now) for each in (ONE, TWO)
    ]
    for roll in rolls * 2:
        roll.step()
    assert [each.present_role for each in rolls[1].now()] == ["active", "standby"]
    store.stop()
    now += LOST_AFTER + 1
    rolls[1].step()
    assert [each.present_role for each in rolls[1].now()] == ["lost", "standby"]
    assert rolls[1].peers == {"one": ("192.0.2.1", 7343)}, "only its consent shows that it is lost"


def test_a_member_that_has_never_reached_the_store_knows_itself():
    def nowhere(patience: float) -> NoReturn:
        raise OSError("no store")

    roll = Roll(nowhere, SEAL, "group", partial(_same, ONE), lambda: 5.0)
    roll.step()
    assert roll.now() == [ONE]


def _same(member: Member) -> Member:
    return member
