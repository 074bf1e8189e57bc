"""Flows that unknown hosts have opened and not confirmed are closed to make room, the oldest first, and no others are."""

from __future__ import annotations

from ipmasq.core.ends import End, Ends
from ipmasq.core.flow import Flow
from ipmasq.core.side import Side
from ipmasq.core.unconfirmed import Unconfirmed, is_confirmed
from ipmasq.wire.addresses import Endpoint
from tests.conformance.packets import UDP
from tests.conformance.world import E1, IN1, IN2, OUT1


def opened(number: int, host: bytes = IN1) -> Flow:
    """From outside, to a published server of an inside host."""
    client, server = Endpoint(OUT1, number), End(Endpoint(host, 80), Endpoint(E1, 8080))
    return Flow(number, UDP, Ends(End(client, client), server), (Side.OUTSIDE, Side.INSIDE), 0.0)


def test_a_datagram_flow_is_confirmed_once_its_client_goes_on_and_was_answered():
    flow = opened(1)
    flow.original.packets, flow.reply.packets = 1, 1
    assert not is_confirmed(flow)
    flow.original.packets, flow.reply.packets = 2, 0
    assert not is_confirmed(flow), "a client that is not answered has shown nothing by it"
    flow.original.packets, flow.reply.packets = 2, 1
    assert is_confirmed(flow)


def nothing(flow: Flow) -> None:
    """No fast path has seen anything."""


def test_the_oldest_of_a_host_gives_way_and_the_confirmed_ones_are_passed_over():
    known, flows = Unconfirmed(), [opened(number) for number in range(1, 4)]
    for flow in flows:
        known.add(flow)
    flows[0].original.packets, flows[0].reply.packets = 2, 1
    assert known.oldest(IN1, nothing) is flows[1]
    known.discard(flows[1])
    assert known.oldest(IN1, nothing) is flows[2]
    known.discard(flows[2])
    assert known.oldest(IN1, nothing) is None


def test_the_flows_of_another_host_do_not_give_way():
    known = Unconfirmed()
    known.add(opened(1, IN2))
    assert known.oldest(IN1, nothing) is None
    assert known.oldest(IN2, nothing) is not None
