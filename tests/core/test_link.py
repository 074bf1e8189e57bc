"""The link: a control flow lives as long as a data flow of it, and then has its full idle time again."""

from __future__ import annotations

import pytest

from ipmasq.core import events
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address
from ipmasq.wire.tcp import ACK, FIN, PSH, SYN, Segment
from tests.core.conversation import INSIDE, OUTSIDE, PUBLIC, Conversation, build, policy

ESTABLISHED = 7440
HOUR = 3600
DATA_IN = Endpoint(INSIDE.address, 1025)


class Transfer:
    """A data connection beside a control connection."""

    def __init__(self, talk: Conversation, client: Endpoint, server: Endpoint, side: Side) -> None:
        """`client` opens it towards `server`, both as it sees them, on `side`."""
        self.talk = talk
        self.client, self.server, self.side = client, server, side
        self.seen = self._send(self.client, self.server, side, SYN)
        assert self.seen is not None
        self._send(self.seen[1], self.seen[0], side.other, SYN | ACK)
        self._send(self.client, self.server, side, ACK)

    def _send(
        self, source: Endpoint, destination: Endpoint, side: Side, flags: int
    ) -> tuple[Endpoint, Endpoint] | None:
        from tests.core.conversation import read

        syn = flags & SYN
        acknowledged = 2 if flags & ACK else 0
        segment = Segment(0, 0, 1 if syn else 2, acknowledged, flags, 1000, 0, 0, b"")
        verdict = self.talk.engine.receive(build(source, destination, segment), side, self.talk.now)
        self.talk.engine.check()
        self.talk.events += self.talk.engine.events()
        if not verdict.packets:
            return None
        seen = read(verdict.packets[0])
        return seen.source, seen.destination

    def goes_on(self) -> None:
        assert self._send(self.client, self.server, self.side, ACK | PSH) is not None

    def ends(self) -> None:
        assert self.seen is not None
        self._send(self.client, self.server, self.side, FIN | ACK)
        self._send(self.seen[1], self.seen[0], self.side.other, FIN | ACK)


def active(talk: Conversation) -> Transfer:
    """The masqueraded client says PORT, the server connects."""
    said = talk.client(b"PORT 10,0,0,2,4,1\r\n").payload[5:-2].split(b",")
    public = Endpoint(PUBLIC, int(said[4]) * 256 + int(said[5]))
    return Transfer(talk, Endpoint(OUTSIDE.address, 20), public, Side.OUTSIDE)


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


@pytest.mark.row("6384-12b")
def test_an_expectation_waits_five_minutes_and_then_not_for_ever() -> None:
    for wait, comes in ((29, True), (299, True), (302, False)):
        talk = Conversation().open()
        said = talk.client(b"PORT 10,0,0,2,4,1\r\n").payload[5:-2].split(b",")
        public = Endpoint(PUBLIC, int(said[4]) * 256 + int(said[5]))
        talk.later(wait)
        syn = build(
            Endpoint(OUTSIDE.address, 20), public, Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b"")
        )
        assert bool(talk.engine.receive(syn, Side.OUTSIDE, talk.now).packets) is comes


@pytest.mark.row("6384-7.2b", "2577-4")
def test_an_expectation_is_met_once_and_by_the_peer_only() -> None:
    talk = Conversation().open()
    said = talk.client(b"PORT 10,0,0,2,4,1\r\n").payload[5:-2].split(b",")
    public = Endpoint(PUBLIC, int(said[4]) * 256 + int(said[5]))

    def syn(source: Endpoint) -> Reason:
        packet = build(source, public, Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b""))
        return talk.engine.receive(packet, Side.OUTSIDE, talk.now).reason

    assert syn(Endpoint(to_address("198.51.100.2"), 20)).is_drop
    assert syn(Endpoint(OUTSIDE.address, 20)) is Reason.TRANSLATED
    assert syn(Endpoint(OUTSIDE.address, 20)) is Reason.TRANSLATED  # the same SYN again
    assert syn(Endpoint(OUTSIDE.address, 4000)).is_drop


@pytest.mark.row("6384-7.2a")
def test_the_server_may_connect_the_moment_it_reads_the_rewritten_port() -> None:
    talk = Conversation().open()
    for _ in range(100):
        active(talk).ends()


def test_when_the_control_connection_ends_what_it_promised_ends_too() -> None:
    talk = Conversation(policy()).open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    assert list(talk.engine.expectations())
    assert talk.engine.close(talk.flow.id, talk.now)
    assert not list(talk.engine.expectations())
    talk.events += talk.engine.events()
    (ended,) = [e for e in talk.events if isinstance(e, events.ExpectationEnded)]
    assert ended.reason is Reason.MASTER_GONE
    talk.engine.check()


@pytest.mark.parametrize("side", Side, ids=lambda side: side.name.lower())
@pytest.mark.parametrize("bit", range(0, 160, 5))
def test_a_damaged_packet_does_not_use_up_what_was_promised(side: Side, bit: int) -> None:
    """A bit of its source port, say: its sender tries again, and its flow must still be expected."""
    talk = Conversation().open()
    if side is Side.OUTSIDE:
        said = talk.client(b"PORT 10,0,0,2,4,1\r\n").payload[5:-2].split(b",")
        ends = Endpoint(OUTSIDE.address, 20), Endpoint(PUBLIC, int(said[4]) * 256 + int(said[5]))
    else:
        talk.client(b"PASV\r\n")
        talk.server(b"227 Entering Passive Mode (198,51,100,1,4,1)\r\n")
        ends = INSIDE._replace(port=40001), Endpoint(OUTSIDE.address, 1025)
    packet = build(*ends, Segment(0, 0, 1, 0, SYN, 1000, 0, 0, b""))
    packet.data[20 + bit // 8] ^= 1 << bit % 8
    talk.engine.receive(packet, side, talk.now)
    flow = Transfer(talk, *ends, side)
    flow.goes_on()
    (view,) = (each for each in talk.engine.flows() if each.id == max(talk.engine.table.flows))
    assert view.origin.startswith("expectation")
