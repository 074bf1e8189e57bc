"""The counters of a helper in use."""

from __future__ import annotations

from ipmasq.core.registered import Registered
from tests.core.announcer import use


def test_a_view_says_what_the_helper_is_for_and_does_not_change_afterwards():
    registered = Registered(use("one", 22, 21))
    registered.bound = 3
    registered.refused["a reason"] = 1
    view = registered.view()
    registered.bound = 4
    registered.refused["a reason"] = 2
    assert (view.name, view.ports, view.on_failure) == ("one", (21, 22), "pass")
    assert (view.bound, view.refused) == (3, {"a reason": 1})
