"""The two ends of a flow."""

from __future__ import annotations

from ipmasq.core import helper
from ipmasq.core.speaker import Speaker


def test_each_end_is_the_others_other():
    assert [speaker.other for speaker in Speaker] == [Speaker.SERVER, Speaker.CLIENT]


def test_helpers_find_it_where_everything_else_is_that_they_are_told():
    assert helper.Speaker is Speaker
