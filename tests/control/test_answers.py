"""Views and events as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from ipmasq.control import answers, watching
from ipmasq.control.protocol import line
from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.wire.addresses import Endpoint
from tests.conformance.world import OUT1, World
from tests.control.running import IN1

VALUES: dict[str, Any] = {
    "int": 3,
    "float": 1.5,
    "str": "text",
    "bool": True,
    "bytes": b"\x7f\0\0\xff",
    "int | None": None,
    "Reason": Reason.MET,
    "Side": Side.INSIDE,
    "Speaker": Speaker.SERVER,
    "Endpoint": Endpoint(IN1, 5),
    "Endpoint | None": Endpoint(IN1, 6),
    "Address": IN1,
    "Address | None": IN1,
}


@pytest.mark.parametrize("kind", get_args(Event))
def test_every_event_becomes_json_with_its_name_and_a_sentence(kind: type[Event]):
    event = kind(**{field.name: VALUES[str(field.type)] for field in dataclasses.fields(kind)})
    row = answers.event(event, 1000.0)
    assert line(row)
    assert row["event"] in watching.NAMES
    assert row["time"] == 1001.5
    assert row["text"]
    assert set(row) == {f.name for f in dataclasses.fields(kind)} - {"at"} | {
        "event",
        "time",
        "text",
    }


def test_every_byte_of_a_line_survives_the_way():
    every = bytes(range(256))
    row = answers.event(events.Refused(0.0, 1, "ftp", Speaker.CLIENT, "no", every), 0.0)
    assert row["line"].encode("latin-1") == every


SECRET = b" pass secret\r\n"


@pytest.mark.parametrize(
    "event",
    [
        events.Rewritten(0.0, 1, "ftp", Speaker.CLIENT, 0, SECRET, SECRET.upper()),
        events.Refused(0.0, 1, "ftp", Speaker.CLIENT, "no", SECRET),
        events.HelperFailed(0.0, 1, "ftp", Speaker.CLIENT, SECRET, "KeyError"),
    ],
)
def test_no_event_tells_a_password(event: Event):
    """Log, `watch`, the pages and `top` show the row or its sentence."""
    told = line(answers.event(event, 0.0)).decode().lower()
    assert "pass ***" in told
    assert "secret" not in told


def test_a_flow_that_was_in_use_after_the_list_was_begun_is_not_idle() -> None:
    world = World()
    world.now = 10.0
    world.udp(IN1, 5000, OUT1, 53)
    (view,) = world.engine.flows()
    assert [answers.flow(view, now)["idle"] for now in (7.0, 10.0, 12.5)] == [0.0, 0.0, 2.5]
