"""DESIGN section 1, case by case: who is masqueraded, who speaks, in which form; with the real FTP helper.

Each case is played to its end: control connection, announcement, data connection, and the link.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ipmasq.core.policy import Behaviour, Forward, HelperUse, PortRange
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, Endpoint, to_text
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import SYN
from tests.conformance.world import E1, IN1, IN2, OUT1, OUT2, World

FTP = HelperUse("ftp", Ftp, ipv4.TCP, frozenset((21,)), True)
CLIENT_PORT, SERVER_PORT = 5001, 50_021


def forwards(public: int, real: int) -> tuple[Forward, ...]:
    return (Forward("ftp", ipv4.TCP, None, PortRange(public, public), IN2, real),)


def client_inside() -> Conversation:
    return Conversation(_world(), Endpoint(IN1, 4000), Endpoint(OUT1, 21))


def server_inside() -> Conversation:
    return Conversation(_world(forwards(21, 21)), Endpoint(OUT1, 4000), Endpoint(E1, 21))


def server_inside_on_another_port() -> Conversation:
    """The helper is bound by the port that the server really listens on."""
    return Conversation(_world(forwards(2121, 21)), Endpoint(OUT1, 4000), Endpoint(E1, 2121))


def server_inside_published_at_21() -> Conversation:
    """And by the public one."""
    return Conversation(_world(forwards(21, 8021)), Endpoint(OUT1, 4000), Endpoint(E1, 21))


def both_inside() -> Conversation:
    """By the public address and back: both ends are masqueraded."""
    return Conversation(_world(forwards(21, 21)), Endpoint(IN1, 4000), Endpoint(E1, 21))


def _world(published: tuple[Forward, ...] = ()) -> World:
    strict = Behaviour.ADDRESS_AND_PORT_DEPENDENT
    return World(helpers=(FTP,), forwards=published, filtering=strict)


def _comma(endpoint: Endpoint) -> bytes:
    return b"%d,%d,%d,%d,%d,%d" % (*endpoint.address, *divmod(endpoint.port, 256))


def _read(line: bytes, implied: Address) -> Endpoint:
    """The endpoint that a line announces."""
    if extended := re.search(rb"\|(?:1\|([0-9.]+)|\|)\|(\d+)\|", line):
        text = extended[1]
        address = bytes(map(int, text.split(b"."))) if text else implied
        return Endpoint(address, int(extended[2]))
    numbers = [int(n) for n in re.findall(rb"\d+", line)][-6:]
    return Endpoint(bytes(numbers[:4]), numbers[4] * 256 + numbers[5])


def say_port(talk: Conversation) -> tuple[int, Endpoint]:
    return _announce(talk, CLIENT, lambda me: b"PORT " + _comma(me))


def say_eprt(talk: Conversation) -> tuple[int, Endpoint]:
    return _announce(
        talk, CLIENT, lambda me: b"EPRT |1|%s|%d|" % (to_text(me.address).encode(), me.port)
    )


def say_pasv(talk: Conversation) -> tuple[int, Endpoint]:
    talk.say(CLIENT, b"PASV\r\n")
    return _announce(talk, SERVER, lambda me: b"227 Entering Passive Mode (" + _comma(me) + b").")


def say_epsv(talk: Conversation) -> tuple[int, Endpoint]:
    talk.say(CLIENT, b"EPSV\r\n")
    return _announce(talk, SERVER, lambda me: b"229 Extended Passive Mode (|||%d|)" % me.port)


def _announce(
    talk: Conversation, speaker: int, text: Callable[[Endpoint], bytes]
) -> tuple[int, Endpoint]:
    """Who opens the data connection, and to where it has been told to."""
    port = CLIENT_PORT if speaker == CLIENT else SERVER_PORT
    talk.say(speaker, text(Endpoint(talk.ends[speaker].me.address, port)) + b"\r\n")
    opener = 1 - speaker
    line = talk.heard(opener).splitlines()[-1]
    return opener, _read(line, talk.ends[opener].other.address)


WHERE = pytest.mark.parametrize(
    "where",
    [
        client_inside,
        server_inside,
        server_inside_on_another_port,
        server_inside_published_at_21,
        both_inside,
    ],
)
HOW = pytest.mark.parametrize("how", [say_port, say_eprt, say_pasv, say_epsv])


@pytest.mark.row("3027-2.2", "3027-2.5", "959-PORT", "959-227", "2428-EPRT", "2428-229")
@WHERE
@HOW
def test_a_data_connection_comes_to_life_and_is_linked(
    where: Callable[[], Conversation], how: Callable[[Conversation], tuple[int, Endpoint]]
) -> None:
    talk = where()
    world = talk.world
    opener, told = how(talk)
    speaker = talk.ends[1 - opener]
    assert told.address == talk.ends[opener].other.address
    port = CLIENT_PORT if opener == SERVER else SERVER_PORT
    data = Conversation(world, Endpoint(talk.ends[opener].me.address, 20_000), told)
    assert data.ends[SERVER].me == Endpoint(speaker.me.address, port)
    data.say(CLIENT, b"file")
    data.say(SERVER, b"and back")
    assert (data.heard(SERVER), data.heard(CLIENT)) == (b"file", b"and back")
    control, flow = (next(f for f in world.flows if f.id == n) for n in (1, 2))
    assert (flow.master, control.links) == (control.id, 1)
    # The positions of the control connection are right in both directions.
    talk.say(CLIENT, b"NOOP\r\n")
    talk.say(SERVER, b"200 ok\r\n")
    assert talk.heard(SERVER).endswith(b"NOOP\r\n")
    assert talk.heard(CLIENT).endswith(b"200 ok\r\n")


@pytest.mark.row("6384-7.2b", "2577-4", "2577-8")
@HOW
def test_nobody_else_comes_in_by_what_was_expected(
    how: Callable[[Conversation], tuple[int, Endpoint]],
) -> None:
    where = client_inside if how in (say_port, say_eprt) else server_inside
    talk = where()
    _, told = how(talk)
    talk.world.tcp(OUT2, 20_000, *told, SYN).is_dropped()
    first = talk.world.tcp(OUT1, 20_000, *told, SYN)
    assert first.one
    talk.world.tcp(OUT1, 20_001, *told, SYN).is_dropped()


@pytest.mark.row("1123-12b", "6384-8")
@pytest.mark.parametrize("where", [client_inside, server_inside])
def test_the_default_data_port_needs_no_announcement(where: Callable[[], Conversation]) -> None:
    talk = where()
    talk.say(SERVER, b"220 hello\r\n")
    talk.say(CLIENT, b"LIST\r\n")
    talk.say(SERVER, b"150 here it comes\r\n")
    server = talk.ends[SERVER]
    data = Conversation(talk.world, Endpoint(server.me.address, 20), server.other)
    assert data.ends[SERVER].me == talk.ends[CLIENT].me
    flow = next(f for f in talk.world.flows if f.id == 2)
    assert flow.master == 1


def test_a_server_that_announces_its_public_address_means_its_own() -> None:
    talk = server_inside()
    talk.say(CLIENT, b"PASV\r\n")
    talk.say(SERVER, b"227 ok (%s)\r\n" % _comma(Endpoint(E1, SERVER_PORT)))
    told = _read(talk.heard(CLIENT).splitlines()[-1], E1)
    data = Conversation(talk.world, Endpoint(OUT1, 20_000), told)
    assert data.ends[SERVER].me == Endpoint(IN2, SERVER_PORT)


def test_a_published_range_of_passive_ports_is_announced_as_it_is_published() -> None:
    passive = Forward("data", ipv4.TCP, None, PortRange(30_000, 30_100), IN2, 50_000)
    talk = Conversation(
        _world((*forwards(21, 21), passive)), Endpoint(OUT1, 4000), Endpoint(E1, 21)
    )
    _, told = say_pasv(talk)
    assert told == Endpoint(E1, 30_021)


@pytest.mark.row("A-13", "4787-11")
def test_two_clients_that_announce_the_same_port_each_get_their_own_data() -> None:
    world = _world()
    talks = [Conversation(world, Endpoint(host, 4000), Endpoint(OUT1, 21)) for host in (IN1, IN2)]
    told = [say_port(talk)[1] for talk in talks]
    assert told[0] != told[1]
    for host, endpoint in zip((IN1, IN2), told, strict=True):
        world.tcp(OUT1, 20, *endpoint, SYN).reaches(host, CLIENT_PORT)


@pytest.mark.row("1123-6b", "959-PORT", "6384-7")
@pytest.mark.parametrize(
    ("speaker", "line"),
    [
        (CLIENT, b"PORT 10,0,0,3,4,1\r\n"),
        (CLIENT, b"PORT 10,0,0,2,0,25\r\n"),
        (SERVER, b"227 ok (198,51,100,2,4,1)\r\n"),
        (SERVER, b"227 ok (198,51,100,1,0,80)\r\n"),
    ],
)
def test_what_is_not_the_speakers_own_passes_unmodified_and_opens_nothing(
    speaker: int, line: bytes
) -> None:
    talk = client_inside()
    talk.say(CLIENT, b"PASV\r\n")
    talk.say(speaker, line)
    assert talk.heard(1 - speaker).endswith(line)
    assert talk.world.expectations == 0
