"""Commands in a table, one by one."""

from __future__ import annotations

from random import Random

from ipmasq.core.engine import Engine
from ipmasq.core.offloading import Command, Offload, Rewrite, Track, Withdraw
from ipmasq.core.side import Side
from ipmasq.offload.offload import Offloader
from ipmasq.planes.fastpath import NoFastPath
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.core.stress import INNER, OUTER, POLICY
from tests.planes.ebpf.model import Model


def engine() -> Engine:
    return Engine(POLICY, Random(1).randrange, 0.0)


def opened(gateway: Engine) -> list[Command]:
    packet = Packet(bytearray(packets.udp(INNER[0], 5000, OUTER[0], 53)))
    return list(gateway.receive(packet, Side.INSIDE, 1.0).commands)


def halves(protocol: int) -> tuple[Rewrite, Rewrite]:
    first = Rewrite(Side.INSIDE, protocol, bytes(12), bytes(12))
    return first, first._replace(side=Side.OUTSIDE)


def test_where_there_is_no_fast_path_the_engine_commands_nothing() -> None:
    gateway = engine()
    offload = Offloader(gateway, NoFastPath().table, lambda: 1.0)
    offload.tick()
    assert opened(gateway) == []
    assert not offload.read_on()


def test_a_command_that_is_repeated_changes_nothing() -> None:
    path = Model()
    offload = Offloader(engine(), path, lambda: 1.0)
    for command in (Track(1, *halves(17)), Offload(1, *halves(17)), Track(1, *halves(17))):
        offload.carry_out([command])
        before = path.slots.copy(), path.offloaded.copy()
        offload.carry_out([command])
        assert (path.slots, path.offloaded) == before
        assert offload.numbers() == ([1] if isinstance(command, Offload) else [])
    offload.carry_out([Withdraw(1), Withdraw(1)])
    assert not path.slots


def test_a_flow_of_another_protocol_is_not_entered() -> None:
    path = Model()
    offload = Offloader(engine(), path, lambda: 1.0)
    offload.carry_out([Track(1, *halves(1))])
    assert not path.slots
    assert offload.refused == 0


def test_a_flow_that_is_refused_again_and_again_is_counted_once() -> None:
    offload = Offloader(engine(), Model(capacity=1), lambda: 1.0)
    offload.carry_out([Track(1, *halves(17)), Offload(1, *halves(17))])
    assert offload.refused == 1
    offload.carry_out([Withdraw(1), Track(2, *halves(17))])
    assert offload.refused == 2


def test_a_gateway_that_has_stopped_offloading_commands_nothing_more() -> None:
    gateway = engine()
    offload = Offloader(gateway, Model(), lambda: 1.0)
    offload.stop()
    assert opened(gateway) == []
