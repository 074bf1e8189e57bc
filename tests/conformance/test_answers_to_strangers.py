"""A published server that answers from another port: what strangers cause by it is evicted before its clients are
refused."""

from __future__ import annotations

from typing import Any

import pytest

from ipmasq.core.policy import Forward, HelperUse, Limits, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.helpers.tftp import Tftp
from ipmasq.wire.addresses import Address, Endpoint
from tests.conformance.packets import UDP
from tests.conformance.world import E1, IN1, IN2, OUT1, OUT2, World

TFTP = HelperUse("tftp", Tftp, UDP, frozenset((69,)), Tftp.orthogonal)
SERVER = Forward("tftp", UDP, None, PortRange(69, 69), IN1, 69)
OTHER = Forward("other", UDP, None, PortRange(1069, 1069), IN2, 69)
READ = b"\0\1boot/pxelinux.0\0octet\0"
DATA, ACKNOWLEDGED = b"\0\3\0\1" + bytes(512), b"\0\4\0\1"

helped = pytest.mark.parametrize("helpers", [(TFTP,), ()], ids=["helped", "alone"])


def world_of(**settings: Any) -> World:
    limits = Limits(ports_per_host=20)
    ports = PortRange(61000, 61999)
    return World(**{"limits": limits, "ports": ports, "forwards": (SERVER,), **settings})


def forged(number: int) -> Address:
    return bytes((45, 0, number >> 8, number & 255))


def flood(world: World, count: int, start: int = 0) -> None:
    """Each request has another source, and is answered from another port."""
    for number in range(start, start + count):
        world.udp(forged(number), 4000, E1, 69, payload=READ).reaches(IN1, 69)
        world.udp(IN1, 20000 + number, forged(number), 4000, payload=DATA).leaves_from(E1)
        world.later(0.1)
    world.engine.check()


@helped
@pytest.mark.row("A-29", "A-21")
def test_forged_requests_keep_no_client_from_its_file(helpers: tuple[HelperUse, ...]):
    world = world_of(helpers=helpers)
    flood(world, 100)
    world.udp(OUT1, 4000, E1, 69, payload=READ).reaches(IN1, 69)
    here = world.udp(IN1, 30000, OUT1, 4000, payload=DATA).one.source
    world.udp(OUT1, 4000, *here, payload=ACKNOWLEDGED).reaches(IN1, 30000)
    flood(world, 100, 100)
    again = world.udp(IN1, 30000, OUT1, 4000, payload=DATA).one.source
    assert again == here, "the transfer of a client that answers goes on"
    assert world.engine.table.mappings.ports[UDP, IN1] == 20


@helped
@pytest.mark.row("A-29", "A-21")
def test_the_servers_own_flows_are_not_refused_for_forged_requests(
    helpers: tuple[HelperUse, ...],
):
    world = world_of(helpers=helpers)
    flood(world, 30)
    asked = world.engine.explain(UDP, Endpoint(IN1, 9), Endpoint(OUT1, 53), Side.INSIDE, world.now)
    assert "has reached its limit" not in asked.verdict
    for number in range(20):
        world.udp(IN1, 9000 + number, OUT2, 53).leaves_from(E1)
    world.udp(IN1, 9999, OUT2, 53).is_dropped(Reason.PORT_LIMIT)


@pytest.mark.row("A-21", "6888-11d")
def test_a_flow_that_no_stranger_has_caused_is_never_evicted_for_its_port():
    world = world_of()
    for number in range(20):
        world.udp(IN1, 9000 + number, OUT2, 53).leaves_from(E1)
    world.udp(OUT1, 4000, E1, 69, payload=READ).reaches(IN1, 69)
    world.udp(IN1, 30000, OUT1, 4000, payload=DATA).is_dropped(Reason.PORT_LIMIT)
    assert len(world.flows) == 21


@pytest.mark.row("A-29", "A-21")
def test_if_no_port_is_free_at_all_the_host_with_the_most_answers_gives_one():
    ports = PortRange(61000, 61029)
    world = world_of(forwards=(SERVER, OTHER), ports=ports)
    flood(world, 25)
    for number in range(10):
        world.udp(forged(number), 5000, E1, 1069, payload=READ).reaches(IN2, 69)
        world.udp(IN2, 20000 + number, forged(number), 5000, payload=DATA).leaves_from(E1)
    world.udp(IN2, 9000, OUT2, 53).leaves_from(E1)
    assert world.engine.table.mappings.ports == {(UDP, IN1): 19, (UDP, IN2): 11}
    world.engine.check()
