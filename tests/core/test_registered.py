"""The counters of a helper in use."""

from __future__ import annotations

import dataclasses

import pytest

from ipmasq.core.plain import Fields
from ipmasq.core.registered import COUNTERS, Registered, RegisteredHelpers
from tests.core.announcer import use
from tests.core.restored import serialised


def test_a_view_has_every_counter_as_it_is_now():
    helper = Registered(use())
    counted = [name for name, value in vars(helper).items() if value == 0]
    for number, name in enumerate(counted, 1):
        setattr(helper, name, number)
    helper.refused["no"] = 7
    view = dataclasses.asdict(helper.view())
    assert {name: view[name] for name in counted} == dict(
        zip(counted, range(1, len(counted) + 1), strict=True)
    )
    assert view["refused"] == {"no": 7}
    assert view["name"] == helper.use.name


def test_a_view_does_not_change_when_the_helper_goes_on():
    helper = Registered(use())
    view = helper.view()
    helper.bound += 1
    helper.refused["no"] = 1
    assert (view.bound, view.refused) == (0, {})


def test_a_view_says_what_the_helper_is_for_and_does_not_change_afterwards():
    registered = Registered(use("one", 22, 21))
    registered.bound = 3
    registered.refused["a reason"] = 1
    view = registered.view()
    registered.bound = 4
    registered.refused["a reason"] = 2
    assert (view.name, view.ports, view.on_failure) == ("one", (21, 22), "pass")
    assert (view.bound, view.refused) == (3, {"a reason": 1})


def test_a_helper_has_its_counters_after_its_state_and_serves_no_port_with_other_settings():
    helper = Registered(use())
    for number, name in enumerate(COUNTERS, 1):
        setattr(helper, name, number)
    helper.refused["no"] = 7
    state = Fields(serialised(helper.to_state()), "helper")
    assert Registered.from_state(state, use()).view() == helper.view()
    other = Registered.from_state(state, use("announcer", 21, 2121))
    assert other.use != use("announcer", 21, 2121)
    assert other.view().ports == ()
    gone = Registered.from_state(state, None).view()
    assert (gone.name, gone.ports, gone.bound) == ("announcer", (), 1)


def test_the_protocols_that_are_inspected_are_those_of_the_helpers_in_use():
    helpers = RegisteredHelpers([use("one")])
    assert helpers.protocols == {6}
    helpers.add(dataclasses.replace(use("other"), protocol=17))
    assert helpers.protocols == {6, 17}
    helpers.add(dataclasses.replace(use("one"), protocol=17))
    assert helpers.protocols == {17}
    helpers.remove("other")
    assert helpers.protocols == {17}
    assert helpers.remove("one").use.name == "one"
    assert helpers.protocols == set()


def test_a_helper_that_is_added_again_keeps_its_counters():
    helpers = RegisteredHelpers([use("one")])
    helpers["one"].bound = 3
    again = helpers.add(use("one", 2121))
    assert again is helpers["one"]
    assert (again.bound, again.use.ports) == (3, {2121})
    with pytest.raises(KeyError):
        helpers.remove("other")
