"""What is said of a member of a group that forwards nothing."""

from __future__ import annotations

from ipmasq.control.role import ROLES, silence
from ipmasq.gateway.serving import Role


def test_a_standby_says_so_and_who_is_active():
    group = {"name": "office", "role": "standby", "holder": "gw-a"}
    said = "this member of group office is a standby and forwards nothing"
    assert silence(group) == f"{said}; gw-a is active"
    assert silence({**group, "holder": ""}) == said


def test_every_role_but_the_active_one_has_its_words():
    assert set(ROLES) == {role.value for role in Role} - {"active"}


def test_nothing_is_said_of_who_forwards():
    assert silence(None) == silence({}) == ""
    assert silence({"name": "office", "role": "active", "holder": "gw-a"}) == ""
