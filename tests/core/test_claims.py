"""What a plane must bring although the host owns the address."""

from __future__ import annotations

from ipmasq.core.policy import ALL_PORTS, Claim, Forward, PortRange, Trigger
from tests.conformance.packets import ICMP, TCP, UDP
from tests.conformance.world import E1, E2, IN1, World

RANGE = PortRange(61000, 65095)


def claims(**policy: object) -> set[Claim]:
    listed = World(**policy).engine.claims()
    assert len(listed) == len(set(listed))
    return set(listed)


def test_the_range_of_each_public_address_and_its_icmp_are_claimed():
    assert claims(public=(E1, E2)) == {
        *(Claim(protocol, address, RANGE) for protocol in (TCP, UDP) for address in (E1, E2)),
        *(Claim(ICMP, address, ALL_PORTS) for address in (E1, E2)),
    }


def test_nothing_is_claimed_without_a_public_address():
    assert claims(public=()) == set()


def test_data_ports_forwards_and_triggers_add_theirs():
    extra = claims(
        public=(E1, E2),
        data_ports=PortRange(40000, 40009),
        forwards=(Forward("web", TCP, E2, PortRange(80, 81), IN1, 80),),
        triggers=(Trigger("talk", TCP, PortRange(6000, 6000), UDP, PortRange(7000, 7009), 30),),
    ) - claims(public=(E1, E2))
    assert extra == {
        *(
            Claim(protocol, address, PortRange(40000, 40009))
            for protocol in (TCP, UDP)
            for address in (E1, E2)
        ),
        Claim(TCP, E2, PortRange(80, 81)),
        *(Claim(UDP, address, PortRange(7000, 7009)) for address in (E1, E2)),
    }


def test_claims_follow_forwards_that_come_and_go():
    world = World()
    before = world.engine.claims()
    forward = Forward("web", TCP, None, PortRange(80, 80), IN1, 80)
    world.engine.add_forward(forward, world.now)
    assert set(world.engine.claims()) - set(before) == {Claim(TCP, E1, PortRange(80, 80))}
    world.engine.remove_forward("web", world.now)
    assert world.engine.claims() == before
