"""RFC 7857 (updates to BCP 127, 142, 148) and RFC 6888 (carriers), beside the TCP states."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from ipmasq.core.events import FlowOpened
from ipmasq.core.policy import Action, Behaviour, Limits, PortRange, Rule
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import to_address, to_network
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import SYN
from tests.conformance.world import E1, E2, IN1, IN2, OFF, OUT1, OUT2, World


@pytest.mark.row("7857-5")
def test_mappings_are_per_protocol():
    world = World(ports=PortRange(61000, 61000))
    udp = world.udp(IN1, 5000, OUT1, 80).one.source
    tcp = world.tcp(IN2, 5000, OUT1, 80, SYN).one.source
    assert udp == tcp
    world.udp(OUT1, 80, *udp).reaches(IN1, 5000)
    world.tcp(OUT1, 80, *tcp, SYN | packets.ACK).reaches(IN2, 5000)


@pytest.mark.row("7857-6")
def test_filters_are_per_protocol():
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT)
    public = world.tcp(IN1, 5000, OUT1, 80, SYN).one.source
    world.tcp(OUT2, 9, *public, SYN).reaches(IN1, 5000)
    world.udp(OUT1, 80, *public).is_dropped(Reason.NO_MAPPING)


@pytest.mark.row("7857-7")
@pytest.mark.parametrize("refused", [True, False])
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_what_is_refused_refreshes_nothing(protocol: str, refused: bool):
    world = World()
    rest = (SYN,) if protocol == "tcp" else ()
    send = getattr(world, protocol)
    public = send(IN1, 5000, OUT1, 80, *rest).one.source
    for _ in range(4):
        world.later(100)
        if refused:
            send(OFF, 80, *public, *rest).is_dropped()
        else:
            send(OUT1, 80, *public, *rest).reaches(IN1, 5000)
    assert bool(world.flows) is not refused


@pytest.mark.row("7857-7.1")
def test_an_error_that_answers_an_incoming_packet_does_not_refresh():
    world = World()
    public = world.udp(IN1, 5000, OUT1, 80).one.source
    came = world.udp(OUT1, 80, *public).reaches(IN1, 5000)
    for _ in range(3):
        world.later(99)
        world.error(IN1, OUT1, 3, 3, came.data).reaches(OUT1)
    world.later(4)
    assert world.flows == []


@pytest.mark.row("7857-4")
def test_a_host_out_of_ports_is_refused_and_not_moved_to_another_address():
    world = World(public=(E1, E2), ports=PortRange(61000, 61003))
    public_for = world.engine.table.mappings.public_for
    one = public_for(IN1)
    neighbours = (IN1[:3] + bytes((n,)) for n in range(3, 250))
    neighbour = next(host for host in neighbours if public_for(host) != one)
    for n in range(4):
        world.tcp(IN1, 5000 + n, OUT1, 80, SYN).leaves_from(one)
    world.tcp(IN1, 5004, OUT1, 80, SYN).is_dropped(Reason.NO_PORTS)
    world.tcp(neighbour, 5004, OUT1, 80, SYN).leaves_from(public_for(neighbour))


# The 99.99 % quantile of chi-squared with 99 degrees of freedom is 161.3.
LARGEST_CHI_SQUARED = 161.3


@pytest.mark.row("7857-9", "6888-15", "A-26", "2577-8")
@pytest.mark.parametrize("seed", [1, 2])
def test_public_ports_are_uniform_and_one_says_nothing_about_the_next(seed: int):
    world = World(seed=seed, ports=PortRange(61000, 61099))
    ports = []
    pair = [packets.udp(host, 5000, OUT1, 53) for host in (IN1, IN2)]
    for _ in range(2500):
        for data in pair:
            verdict = world.engine.receive(Packet(bytearray(data)), Side.INSIDE, world.now)
            ports.append(int.from_bytes(verdict.packets[0].data[20:22], "big"))
        for flow in world.flows:
            world.engine.close(flow.id, world.now)
    expected = len(ports) / 100
    seen = Counter(ports)
    assert (
        sum((seen[p] - expected) ** 2 / expected for p in range(61000, 61100)) < LARGEST_CHI_SQUARED
    )
    steps = Counter((after - before) % 100 // 10 for before, after in pairwise(ports))
    even = (len(ports) - 1) / 10
    # 99.99 % quantile with 9 degrees of freedom: 33.7. The second port of a pair is never the first.
    assert sum((steps[s] - even) ** 2 / even for s in range(10)) < 40
    assert not any(a == b for a, b in zip(ports[::2], ports[1::2], strict=True))


@pytest.mark.row("7857-9")
def test_another_secret_gives_other_ports():
    runs = []
    for seed in range(3):
        world = World(seed=seed)
        runs.append([world.udp(IN1, 5000 + n, OUT1, 53).one.source.port for n in range(20)])
    assert len({tuple(run) for run in runs}) == 3


@pytest.mark.row("6888-1", "A-38")
@pytest.mark.parametrize("protocol", [n for n in range(256) if n not in (1, 6, 17)])
def test_other_protocols_are_refused_visibly_and_keep_no_state(protocol: int):
    world = World(own=frozenset())
    for size in (0, 1, 7, 20, 100):
        world.send(packets.ip(IN1, OUT1, protocol, bytes(size))).is_dropped(Reason.UNSUPPORTED)
        world.send(packets.ip(OUT1, E1, protocol, bytes(size))).is_dropped(Reason.NO_MAPPING)
    assert world.engine.counts[Reason.UNSUPPORTED] == 5
    assert world.flows == []


@pytest.mark.row("6888-4", "6888-5")
def test_a_host_has_its_quota_and_hurts_no_other():
    world = World(limits=Limits(flows_per_host=64))
    for n in range(64):
        world.udp(IN1, 5000, OUT1, 1000 + n).leaves_from(E1)
    world.udp(IN1, 5000, OUT1, 2000).is_dropped(Reason.HOST_LIMIT)
    world.tcp(IN1, 5001, OUT1, 80, SYN).is_dropped(Reason.HOST_LIMIT)
    world.udp(IN2, 5000, OUT1, 1000).leaves_from(E1)
    world.udp(IN1, 5000, OUT1, 1000).leaves_from(E1)
    assert world.change(limits=Limits(flows_per_host=65)) == 0
    world.udp(IN1, 5000, OUT1, 2000).leaves_from(E1)


@pytest.mark.row("6888-6")
def test_translation_can_be_turned_off_for_destinations_and_ports():
    exempt = (
        Rule(Action.PASS, destination=(to_network("198.51.100.128/25"),)),
        Rule(Action.PASS, protocol=packets.UDP, destination_ports=(PortRange(123, 123),)),
        Rule(Action.DROP, protocol=packets.TCP, destination_ports=(PortRange(25, 25),)),
    )
    world = World(rules=exempt)
    far = to_address("198.51.100.200")
    untouched = world.tcp(IN1, 5000, far, 80, SYN).reaches(far, 80)
    assert (untouched.source, untouched.ttl) == ((IN1, 5000), 63)
    assert world.udp(IN1, 5000, OUT1, 123).reaches(OUT1, 123).source == (IN1, 5000)
    world.udp(IN1, 5000, OUT1, 124).leaves_from(E1)
    world.tcp(IN1, 5000, OUT1, 25, SYN).is_dropped(Reason.RULE_DROP)
    world.tcp(IN1, 5000, OUT1, 26, SYN).leaves_from(E1)
    assert world.tcp(far, 80, IN1, 5000, SYN | packets.ACK).reaches(IN1, 5000).source == (far, 80)
    world.tcp(OUT1, 80, IN1, 5000, SYN).is_dropped(Reason.UNSOLICITED)


@pytest.mark.row("6888-11a", "6888-11c", "6888-11d", "A-21")
@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"ports": PortRange(61000, 61049)}, Reason.NO_PORTS),
        ({"limits": Limits(flows=50)}, Reason.TABLE_FULL),
        ({"limits": Limits(flows_per_host=50)}, Reason.HOST_LIMIT),
    ],
)
def test_what_is_full_refuses_the_new_and_throws_out_nothing(limit: dict, reason: Reason):
    world = World(**limit)
    old = [world.udp(IN1, 5000 + n, OUT1, 53).one.source for n in range(50)]
    for n in range(200):
        world.udp(IN1, 6000 + n, OUT2, 53).is_dropped(reason)
    assert world.engine.counts[reason] == 200
    for n, public in enumerate(old):
        world.udp(OUT1, 53, *public).reaches(IN1, 5000 + n)
        assert world.udp(IN1, 5000 + n, OUT1, 53).one.source == public
    assert len(world.events(FlowOpened)) == 50
    world.later(301)
    world.udp(IN1, 6000, OUT2, 53).leaves_from(E1)
