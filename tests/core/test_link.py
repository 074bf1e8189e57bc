"""The link: a control flow lives as long as a data flow of it, and then has its full idle time again."""

from __future__ import annotations

import pytest

from ipmasq.core import events
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from tests.core.conversation import INSIDE, OUTSIDE, Conversation
from tests.core.transfer import Transfer, active

ESTABLISHED = 7440


HOUR = 3600


DATA_IN = Endpoint(INSIDE.address, 1025)


def passive(talk: Conversation) -> Transfer:
    """The outside server says 227, the masqueraded client connects."""
    talk.client(b"PASV\r\n")
    said = talk.server(b"227 Entering Passive Mode (198,51,100,1,200,10).\r\n").payload
    assert b"(198,51,100,1,200,10)" in said
    return Transfer(
        talk, Endpoint(INSIDE.address, 51000), Endpoint(OUTSIDE.address, 51210), Side.INSIDE
    )


CASES = pytest.mark.parametrize("announce", [active, passive])


def alive(talk: Conversation) -> bool:
    return talk.server(b"").reason is Reason.TRANSLATED


@pytest.mark.row("6384-12a")
@CASES
def test_control_survives_a_transfer_of_three_hours_in_silence(announce) -> None:  # type: ignore[no-untyped-def]
    talk = Conversation().open()
    transfer = announce(talk)
    for _ in range(18):
        talk.later(600)
        transfer.goes_on()
    assert alive(talk)
    assert any(isinstance(event, events.KeptAlive) for event in talk.events)


@CASES
def test_without_the_link_the_same_transfer_loses_its_control_connection(announce) -> None:  # type: ignore[no-untyped-def]
    talk = Conversation().open()
    transfer = announce(talk)
    control = talk.flow
    for flow in talk.engine.table.flows.values():
        flow.master = None
    control.links = 0
    for _ in range(18):
        talk.later(600)
        transfer.goes_on()
    assert not alive(talk)


@pytest.mark.row("6384-12a")
@CASES
def test_after_the_transfer_the_control_connection_has_its_full_idle_time_again(announce) -> None:  # type: ignore[no-untyped-def]
    for wait, lives in ((ESTABLISHED - 1, True), (ESTABLISHED + 2, False)):
        talk = Conversation().open()
        transfer = announce(talk)
        for _ in range(18):
            talk.later(600)
            transfer.goes_on()
        transfer.ends()
        talk.later(wait)
        assert alive(talk) is lives


def test_a_data_flow_that_is_forgotten_releases_its_control_connection() -> None:
    talk = Conversation().open()
    active(talk)
    talk.later(ESTABLISHED + 1)
    assert talk.flow.links == 0
    talk.later(ESTABLISHED - 2)
    assert alive(talk)
    talk.later(ESTABLISHED + 2)
    assert not talk.engine.table.flows
