"""What an answer is made of."""

from __future__ import annotations

import inspect

import pytest

from ipmasq.control import availability, changes, live, upgrading, views, watching
from ipmasq.control.answer import Pause
from ipmasq.control.control import REQUESTS


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_is_answered_step_by_step(name: str):
    _, begin = REQUESTS[name]
    assert inspect.isgeneratorfunction(begin)


def test_every_request_is_answered_by_one_module():
    tables = [module.REQUESTS for module in (views, live, watching, changes, upgrading)]
    names = [
        name
        for table in (*tables, changes.ANSWERS, availability.LISTINGS, availability.CHANGES)
        for name in table
    ]
    assert sorted(names) == sorted(REQUESTS)


def test_a_pause_is_no_row():
    assert not any(isinstance(pause, dict) for pause in Pause)
