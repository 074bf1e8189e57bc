"""What a masqueraded speaker announces, against what is forwarded: a public place that leads to the speaker already
is right as it is; anything else of its own gets a public place."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import Forward, HelperUse, PortRange
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import Endpoint, to_address
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import SYN, TCP
from tests.conformance.world import E1, IN1, IN2, OUT1, World

FTP = HelperUse("ftp", Ftp, TCP, frozenset((21,)), Ftp.orthogonal)
E2 = to_address("203.0.113.2")
CONTROL = Forward("ftp", TCP, None, PortRange(21, 21), IN1, 21)
DATA = Forward("data", TCP, None, PortRange(10000, 10010), IN1, 18700)
ZERO = bytes(4)


def numbers(address: bytes, port: int) -> bytes:
    return b",".join(b"%d" % n for n in (*address, *divmod(port, 256)))


def passive(world: World, reply: bytes) -> tuple[Conversation, bytes]:
    """A published server inside says `reply` to a PASV or EPSV; what its client hears."""
    talk = Conversation(world, Endpoint(OUT1, 4000), Endpoint(E1, 21))
    talk.say(SERVER, b"220 ready\r\n")
    talk.say(CLIENT, b"PASV\r\n" if reply.startswith(b"227") else b"EPSV\r\n")
    talk.say(SERVER, reply)
    return talk, talk.heard(CLIENT).splitlines(keepends=True)[-1]


def said_227(address: bytes, port: int) -> bytes:
    return b"227 Go (" + numbers(address, port) + b")\r\n"


@pytest.mark.parametrize(
    ("reply", "hears", "target"),
    [
        (said_227(E1, 10004), said_227(E1, 10004), 18704),  # the public place of a forward
        (b"229 Go (|||10004|)\r\n", b"229 Go (|||10004|)\r\n", 18704),
        (said_227(ZERO, 10004), said_227(ZERO, 10004), 18704),  # its client knows the address
        (said_227(IN1, 18704), said_227(E1, 10004), 18704),  # where the forward leads
        (b"229 Go (|||18704|)\r\n", b"229 Go (|||10004|)\r\n", 18704),
        (said_227(ZERO, 18704), said_227(E1, 10004), 18704),
        (said_227(E1, 18704), said_227(E1, 10004), 18704),
    ],
)
def test_a_server_may_say_its_real_port_or_the_forwarded_one(reply, hears, target):
    world = World(helpers=(FTP,), forwards=(CONTROL, DATA))
    talk, heard = passive(world, reply)
    assert heard == hears
    control = world.flow
    data = world.tcp(OUT1, 5000, E1, 10004, SYN)
    data.reaches(IN1, target)
    linked = next(flow for flow in world.flows if flow.master is not None)
    assert linked.master == control.id
    talk.world.engine.check()


@pytest.mark.parametrize("form", ["227", "229", "zeros", "public"])
def test_without_a_forward_a_port_of_the_servers_own_gets_a_public_place(form):
    world = World(helpers=(FTP,), forwards=(CONTROL,))
    reply = {
        "227": said_227(IN1, 30000),
        "229": b"229 Go (|||30000|)\r\n",
        "zeros": said_227(ZERO, 30000),
        "public": said_227(E1, 30000),
    }[form]
    passive(world, reply)
    (expected,) = world.engine.expectations()
    assert expected.public != Endpoint(E1, 30000)
    world.tcp(OUT1, 5000, *expected.public, SYN).reaches(IN1, 30000)


@pytest.mark.row("A-06")
def test_a_public_place_that_leads_to_another_host_is_not_the_servers_own():
    other = Forward("other", TCP, None, PortRange(10000, 10010), IN2, 18700)
    world = World(helpers=(FTP,), forwards=(CONTROL, other))
    passive(world, said_227(E1, 10004))
    (expected,) = world.engine.expectations()
    assert expected.public.port != 10004
    world.tcp(OUT1, 5000, *expected.public, SYN).reaches(IN1, 10004)


@pytest.mark.parametrize("form", ["PORT", "EPRT"])
def test_a_client_inside_may_announce_a_place_that_is_forwarded_to_it(form):
    world = World(helpers=(FTP,), forwards=(DATA,))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(SERVER, b"220 ready\r\n")
    said = b"PORT " + numbers(E1, 10004) + b"\r\n"
    if form == "EPRT":
        said = b"EPRT |1|203.0.113.1|10004|\r\n"
    talk.say(CLIENT, said)
    assert talk.heard(SERVER) == said
    world.tcp(OUT1, 20, E1, 10004, SYN).reaches(IN1, 18704)
    assert any(flow.master for flow in world.flows)


def test_the_public_place_of_a_living_mapping_of_the_speaker_is_its_own():
    world = World(helpers=(FTP,))
    world.tcp(IN1, 7000, OUT1, 80, SYN)
    public = world.flow.public
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(SERVER, b"220 ready\r\n")
    said = b"PORT " + numbers(*public) + b"\r\n"
    talk.say(CLIENT, said)
    assert talk.heard(SERVER) == said
    world.tcp(OUT1, 20, *public, SYN).reaches(IN1, 7000)
    world.engine.check()


def test_what_a_published_server_opens_leaves_by_the_address_at_which_its_client_knows_it():
    world = World(helpers=(FTP,), forwards=(CONTROL,), public=(E1, E2))
    own = world.engine.table.mappings.public_for(IN1)
    other = E2 if own == E1 else E1
    talk = Conversation(world, Endpoint(OUT1, 4000), Endpoint(other, 21))
    talk.say(SERVER, b"220 ready\r\n")
    talk.say(CLIENT, b"PORT " + numbers(OUT1, 5000) + b"\r\n")
    data = world.tcp(IN1, 20, OUT1, 5000, SYN).one
    assert data.source.address == other


def test_hosts_are_spread_over_the_pool_whichever_bits_differ():
    pool = tuple(bytes((203, 0, 113, n)) for n in range(1, 9))
    for hosts in (
        [bytes((10, 0, n, 9)) for n in range(64)],
        [bytes((10, 0, 0, n)) for n in range(64)],
        [bytes((10, n, 0, 1)) for n in range(64)],
    ):
        table = World(public=pool).engine.table
        used = [table.mappings.public_for(host) for host in hosts]
        assert max(used.count(address) for address in pool) <= 16
        assert set(used) == set(pool)
