"""RFC 4787 (BCP 127): what a NAT does to UDP."""

from __future__ import annotations

from itertools import permutations

import pytest

from ipmasq.core.policy import Behaviour, Forward, HelperUse, Limits, PortRange, Timeouts
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address, to_network
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, Conversation
from tests.conformance.world import E1, E2, IN1, IN2, INSIDE, OFF, OUT1, OUT2, ROUTER, World
from tests.core.announcer import here, use

EVERYTHING_ICMP_SAYS = [
    *((3, code) for code in range(16)),
    *((kind, 0) for kind in (4, 5, 11, 12)),
    (11, 1),
]


@pytest.mark.row("4787-1")
def test_one_inside_endpoint_has_one_public_endpoint_for_all_destinations():
    world = World()
    public = world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)
    assert world.udp(IN1, 5000, OUT1, 54).leaves_from(E1) == public
    assert world.udp(IN1, 5000, OUT2, 53).leaves_from(E1) == public
    world.udp(OUT2, 53, *public).reaches(IN1, 5000)


@pytest.mark.row("4787-2", "6888-2", "6888-3", "3027-2.5")
def test_all_flows_of_a_host_leave_by_one_address_of_a_scattered_pool():
    pool = tuple(map(to_address, ("203.0.113.1", "203.0.113.7", "192.0.2.1", "192.0.2.2")))
    world = World(public=pool)
    used = set()
    for number in range(8):
        host = to_address(f"10.0.0.{10 + number}")
        seen = {world.udp(host, 5000 + n, OUT1, n).one.source.address for n in range(1, 20)}
        seen |= {
            world.tcp(host, 5000 + n, OUT2, n, packets.SYN).one.source.address for n in range(1, 20)
        }
        seen |= {world.echo(host, OUT1, n).one.source.address for n in range(1, 20)}
        assert len(seen) == 1
        used |= seen
    assert used == set(pool)


@pytest.mark.row("4787-3", "5382-7")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_two_inside_endpoints_never_share_a_public_endpoint(protocol: str):
    world = World(ports=PortRange(61000, 61009))
    rest = (packets.SYN,) if protocol == "tcp" else ()
    send = getattr(world, protocol)
    seen = [
        send(host, 5000 + n, OUT1, 53, *rest).leaves_from(E1)
        for n in range(5)
        for host in (IN1, IN2)
    ]
    assert sorted(public.port for public in seen) == list(range(61000, 61010))
    send(IN1, 6000, OUT1, 53, *rest).is_dropped(Reason.NO_PORTS)


@pytest.mark.row("4787-5", "4787-5c")
def test_a_mapping_lives_300_seconds_by_default():
    world = World()
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    world.later(299)
    world.udp(OUT1, 53, *public).reaches(IN1, 5000)
    world.later(302)
    world.udp(OUT1, 53, *public).is_dropped(Reason.NO_MAPPING)


@pytest.mark.row("4787-5a")
def test_flows_to_a_port_can_have_a_time_of_their_own_and_others_keep_theirs():
    forward = Forward("dns", 17, None, PortRange(5353, 5353), IN2, 53)
    world = World(timeouts=Timeouts(udp_ports={53: 30}), forwards=(forward,))
    world.udp(IN1, 5000, OUT1, 53)
    world.udp(OUT1, 5000, E1, 5353).reaches(IN2, 53)
    others = [(IN1, 5001, OUT1, port) for port in (54, 5353, 40000)]
    for other in others:
        world.udp(*other)
    world.tcp(IN1, 5000, OUT1, 53, packets.SYN)
    world.later(29)
    assert len(world.flows) == 6
    world.later(2)
    assert sorted((flow.protocol, flow.remote.port) for flow in world.flows) == [
        (6, 53),
        *((17, port) for *_, port in others),
    ]
    world.later(268)
    assert len(world.flows) == 3
    world.change(timeouts=Timeouts(udp_ports={40000: 600}))
    world.later(2)
    assert [flow.remote.port for flow in world.flows] == [40000]


@pytest.mark.row("4787-5b")
def test_the_time_of_a_mapping_is_configurable():
    world = World(timeouts=Timeouts(udp=200))
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    world.later(199)
    assert len(world.flows) == 1
    world.later(2)
    world.udp(OUT1, 53, *public).is_dropped(Reason.NO_MAPPING)


@pytest.mark.row("4787-6")
def test_outgoing_packets_refresh_the_mapping():
    world = World()
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    for _ in range(10):
        world.later(290)
        assert world.udp(IN1, 5000, OUT1, 53).one.source == public


@pytest.mark.row("4787-6a")
def test_incoming_packets_refresh_the_mapping_too():
    world = World()
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    for _ in range(10):
        world.later(290)
        world.udp(OUT1, 53, *public).reaches(IN1, 5000)


ADMITTED = {
    Behaviour.ENDPOINT_INDEPENDENT: (True, True),
    Behaviour.ADDRESS_DEPENDENT: (True, False),
    Behaviour.ADDRESS_AND_PORT_DEPENDENT: (False, False),
}


@pytest.mark.row("4787-8", "4787-8a", "5382-3", "5382-3a")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("filtering", Behaviour)
def test_the_filter_admits_as_much_as_it_is_configured_to(filtering: Behaviour, protocol: str):
    world = World(filtering=filtering)
    rest = (packets.SYN,) if protocol == "tcp" else ()
    send = getattr(world, protocol)
    public = send(IN1, 5000, OUT1, 80, *rest).one.source
    same_host, other_host = ADMITTED[filtering]
    for remote, port, admitted in ((OUT1, 81, same_host), (OUT2, 80, other_host)):
        passage = send(remote, port, *public, *rest)
        if admitted:
            passage.reaches(IN1, 5000)
        else:
            passage.is_dropped(Reason.FILTERED)


@pytest.mark.row("6888-8")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("filtering", Behaviour)
def test_after_a_loss_of_all_state_the_filter_depends_on_the_address_for_two_minutes(
    filtering: Behaviour, protocol: str
):
    world = World(filtering=filtering)
    world.engine.manager.admission.port_hold.lost_at = world.now
    rest = (packets.SYN,) if protocol == "tcp" else ()
    send = getattr(world, protocol)
    public = send(IN1, 5000, OUT1, 80, *rest).one.source
    world.later(119)
    send(OUT2, 80, *public, *rest).is_dropped(Reason.FILTERED)
    same_host, other_host = ADMITTED[filtering]
    passage = send(OUT1, 81, *public, *rest)
    assert bool(passage.packets) is same_host
    world.later(1)
    assert bool(send(OUT2, 81, *public, *rest).packets) is other_host


@pytest.mark.row("6888-8")
def test_how_long_ports_are_held_is_configurable():
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT)
    world.engine.manager.admission.port_hold.lost_at = world.now
    public = world.udp(IN1, 5000, OUT1, 80).one.source
    world.udp(OUT2, 80, *public).is_dropped(Reason.FILTERED)
    world.change(port_hold=0)
    world.udp(OUT2, 80, *public).reaches(IN1, 5000)


@pytest.mark.row("4787-8", "5382-3")
def test_the_default_filter_is_address_dependent():
    assert World().engine.policy.filtering is Behaviour.ADDRESS_DEPENDENT


@pytest.mark.row("4787-9", "4787-9a", "5382-8", "5382-8a")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("pool", [(E1,), (E1, E2)])
def test_inside_hosts_reach_each_other_by_public_endpoints_and_see_only_those(
    protocol: str, pool: tuple
):
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT, public=pool)
    rest = (packets.SYN,) if protocol == "tcp" else ()
    send = getattr(world, protocol)
    two = send(IN2, 5000, OUT1, 80, *rest).one.source
    one = send(IN1, 5000, OUT1, 80, *rest).one.source
    seen = send(IN1, 5000, *two, *rest).reaches(IN2, 5000)
    assert seen.source == one
    answer = (packets.SYN | packets.ACK,) if protocol == "tcp" else ()
    back = send(IN2, 5000, *one, *answer).reaches(IN1, 5000)
    assert back.source == two


@pytest.mark.row("4787-9")
def test_inside_hosts_that_both_send_reach_each_other_under_the_default_filter():
    world = World()
    one = world.udp(IN1, 5000, OUT1, 3478).one.source
    two = world.udp(IN2, 6000, OUT1, 3478).one.source
    world.udp(IN1, 5000, *two)
    world.udp(IN2, 6000, *one).reaches(IN1, 5000)
    world.udp(IN1, 5000, *two).reaches(IN2, 6000)


@pytest.mark.row("4787-8", "A-22")
@pytest.mark.parametrize("filtering", list(Behaviour))
def test_a_host_of_another_inside_network_is_let_in_by_a_mapping_as_a_stranger_is(
    filtering: Behaviour,
):
    guest = bytes((10, 1, 0, 9))
    world = World(inside=(INSIDE, to_network("10.1.0.0/24")), filtering=filtering)
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    world.udp(IN2, 6000, *public).reaches(IN1, 5000)
    forged = world.send(packets.udp(guest, 7000, *public), Side.INSIDE)
    if filtering is Behaviour.ENDPOINT_INDEPENDENT:
        forged.reaches(IN1, 5000)
    else:
        forged.is_dropped(Reason.FILTERED)


@pytest.mark.row("4787-10", "3027-2.1")
@pytest.mark.parametrize(
    ("port", "payload"),
    [
        (5060, b"REGISTER sip:example SIP/2.0\r\nContact: <sip:a@10.0.0.2:5060>\r\n\r\n"),
        (69, b"\0\1file\0octet\0"),
        (21, b"PORT 10,0,0,2,4,1\r\n"),
    ],
)
def test_udp_payloads_pass_byte_for_byte(port: int, payload: bytes):
    world = World()
    passed = world.udp(IN1, 5000, OUT1, port, payload=payload).reaches(OUT1, port)
    assert passed.payload == payload
    assert world.expectations == 0


@pytest.mark.row("4787-11")
def test_behaviour_is_the_same_in_an_empty_and_in_a_nearly_full_range():
    world = World(ports=PortRange(61000, 61099))
    for load in (0, 90):
        for n in range(load):
            world.udp(IN2, 10_000 + n, OUT2, 99).leaves_from(E1)
        public = world.udp(IN1, 5000 + load, OUT1, 1).one.source
        assert world.udp(IN1, 5000 + load, OUT2, 2).one.source == public
        world.udp(OUT1, 7, *public).reaches(IN1, 5000 + load)
        world.udp(OFF, 1, *public).is_dropped(Reason.FILTERED)


@pytest.mark.row("4787-12", "5382-10")
@pytest.mark.parametrize(("kind", "code"), EVERYTHING_ICMP_SAYS)
def test_no_icmp_message_ends_a_mapping(kind: int, code: int):
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one
    came = world.udp(OUT1, 53, *out.source).one
    world.error(ROUTER, E1, kind, code, out.data)
    world.error(IN1, OUT1, kind, code, came.data)
    assert world.udp(IN1, 5000, OUT1, 53).one.source == out.source
    world.udp(OUT1, 53, *out.source).reaches(IN1, 5000)


@pytest.mark.row("4787-12a", "4787-12b", "5508-10a")
@pytest.mark.parametrize(
    ("sender", "kind", "code"), [(OUT1, 3, 3), (ROUTER, 3, 4), (ROUTER, 11, 0)]
)
def test_an_error_reaches_the_inside_host_whoever_sent_it(sender: bytes, kind: int, code: int):
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one
    arrived = world.error(sender, E1, kind, code, out.data, rest=1400).reaches(IN1)
    assert arrived.source.address == sender
    assert (arrived.kind, arrived.code, arrived.rest) == (kind, code, (1400).to_bytes(4, "big"))
    assert arrived.quoted is not None
    assert arrived.quoted.source == (IN1, 5000)
    assert arrived.quoted.destination == (OUT1, 53)


@pytest.mark.row("4787-14", "3027-2.4")
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_fragments_in_any_order_become_the_translated_datagram(order: tuple[int, ...]):
    world = World()
    payload = bytes(range(256)) * 8
    pieces = packets.fragments(packets.udp(IN1, 5000, OUT1, 53, payload, fragment=0), 800, 800)
    assert len(pieces) == 3
    first, second, last = (world.send(pieces[index]) for index in order)
    assert first.reason is second.reason is Reason.HELD
    out = last.one
    assert out.payload == payload
    back = packets.fragments(packets.udp(OUT1, 53, *out.source, payload, fragment=0), 800, 800)
    assert [world.send(back[index]).reason for index in order[:2]] == [Reason.HELD, Reason.HELD]
    assert world.send(back[order[2]]).reaches(IN1, 5000).payload == payload


@pytest.mark.row("4787-14a")
def test_a_flood_of_fragments_is_bounded_and_hurts_no_whole_packet():
    world = World(limits=Limits(fragmented_datagrams=64))
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    for number in range(1000):
        whole = packets.udp(OFF, 1, *public, b"x" * 100, fragment=0, identification=number)
        world.send(packets.fragments(whole, 64)[1])
        if number % 100 == 0:
            world.udp(OUT1, 53, *public).reaches(IN1, 5000)
            world.udp(IN2, number + 1, OUT1, 53).leaves_from(E1)
    assert len(world.engine.manager.reassembly) == 16  # its share
    world.later(16)
    assert len(world.engine.manager.reassembly) == 0
    assert world.engine.counts[Reason.FRAGMENT_LIMIT] == 1000 - 16
    assert world.engine.counts[Reason.FRAGMENT_TIMEOUT] == 16


@pytest.mark.row("4787-14a", "A-32")
@pytest.mark.parametrize("sources", [1, 50], ids=["one source", "many sources"])
def test_a_flood_of_unfinished_fragments_leaves_the_fragmented_datagrams_of_others_alone(sources):
    world = World(limits=Limits(fragmented_datagrams=64))
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    for number in range(500):
        flooder = OFF[:3] + bytes((100 + number % sources,))
        whole = packets.udp(flooder, 1, *public, b"x" * 100, fragment=0, identification=number)
        world.send(packets.fragments(whole, 64)[1])
    first, last = packets.fragments(packets.udp(OUT1, 53, *public, b"y" * 99, fragment=0), 64)
    world.send(first)
    assert world.send(last).reaches(IN1, 5000).payload == b"y" * 99
    assert len(world.engine.manager.reassembly) <= 64


@pytest.mark.row("4787-10a")
def test_each_helper_is_switched_by_itself():
    def expected(*helpers: HelperUse) -> list[int]:
        world = World(helpers=helpers)
        for port in (21, 2021):
            talk = Conversation(world, Endpoint(IN1, port + 4000), Endpoint(OUT1, port))
            talk.say(CLIENT, here(Endpoint(IN1, 5000)))
        return [view.expected for view in world.engine.helpers()]

    one, other = use("one", 21), use("other", 2021)
    assert expected() == []
    assert expected(one) == [1]
    assert expected(other) == [1]
    assert expected(one, other) == [1, 1]
