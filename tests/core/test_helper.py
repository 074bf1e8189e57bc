"""The base of all helpers."""

from __future__ import annotations

import pytest

from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.speaker import Speaker


class Counting(Helper):
    name = "counting"

    def __init__(self) -> None:
        self.lines = 0

    def on_line(self, line: bytes, context: HelperContext) -> None:
        self.lines += 1


def test_a_newer_instance_takes_over_what_it_knows_of_the_state_of_the_older():
    helper = Counting()
    helper.resume({"lines": 7, "renamed since": True})
    assert vars(helper) == {"lines": 7}


def test_unless_it_says_otherwise_a_helper_is_for_masqueraded_clients_and_may_rewrite_any_line():
    helper = Counting()
    assert not helper.orthogonal
    assert helper.may_rewrite(Speaker.CLIENT, b"")
    assert (helper.protocol, helper.ports, helper.terminator) == (6, (), b"\r\n")


def test_a_context_is_no_context_unless_it_has_every_verb():
    with pytest.raises(TypeError, match="abstract"):
        HelperContext()  # type: ignore[abstract]
