"""Attacks on the gateway with packets, and with what real FTP ends could say (the helper is the real one)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipmasq.core import events
from ipmasq.core.policy import Behaviour, Forward, HelperUse, Limits, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.tcp_inspector import COST
from ipmasq.helpers.ftp import Ftp
from ipmasq.helpers.tftp import Tftp
from ipmasq.wire.addresses import Endpoint, to_address
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, FIN, ICMP, PSH, RST, SYN, TCP, UDP
from tests.conformance.world import E1, GATEWAY, IN1, IN2, OFF, OUT1, OUT2, World

FTP = HelperUse("ftp", Ftp, TCP, frozenset((21,)), Ftp.orthogonal)
TFTP = HelperUse("tftp", Tftp, UDP, frozenset((69,)), Tftp.orthogonal)
TFTP_SERVER = Forward("tftp", UDP, None, PortRange(69, 69), IN1, 69)
READ = b"\0\1boot.img\0octet\0"


def ftp(world: World | None = None, client: Endpoint = Endpoint(IN1, 4000)) -> Conversation:  # noqa: B008
    """A control connection of an inside client, logged in."""
    talk = Conversation(world or World(helpers=(FTP,)), client, Endpoint(OUT1, 21))
    talk.say(SERVER, b"220 ready\r\n")
    talk.say(CLIENT, b"USER a\r\n")
    talk.say(SERVER, b"230 in\r\n")
    return talk


def numbers(address: bytes, port: int) -> bytes:
    return b",".join(b"%d" % n for n in (*address, *divmod(port, 256)))


def said_last(talk: Conversation, listener: int) -> bytes:
    return talk.heard(listener).splitlines(keepends=True)[-1]


def announced(line: bytes) -> Endpoint:
    """What a PORT or a 227 says."""
    fields = [int(n) for n in line.strip(b"PORT()\r\n .").split(b"(")[-1].split(b",")]
    return Endpoint(bytes(fields[:4]), fields[4] * 256 + fields[5])


SCALED = b"\x03\x03\x0e\0"
FOREIGN = [IN2, OUT2, OUT1, GATEWAY]


@pytest.mark.row("A-01", "6384-7")
@pytest.mark.parametrize("victim", FOREIGN)
@pytest.mark.parametrize("form", ["PORT", "EPRT"])
@pytest.mark.parametrize("port", [25, 5000])
def test_a_client_cannot_make_the_server_bounce_to_a_third_host(
    victim: bytes, form: str, port: int
):
    talk = ftp()
    own, other = (
        b"PORT " + numbers(address, to) + b"\r\n"
        if form == "PORT"
        else b"EPRT |1|%d.%d.%d.%d|%d|\r\n" % (*address, to)
        for address, to in ((IN1, 5000), (victim, port))
    )
    talk.say(CLIENT, other)
    assert said_last(talk, SERVER) == other
    assert talk.world.expectations == 0
    talk.world.tcp(OUT1, 20, IN2, port, SYN).is_dropped(Reason.UNSOLICITED)
    talk.say(SERVER, b"200 fine\r\n")
    talk.say(CLIENT, own)
    assert said_last(talk, SERVER) != own
    assert talk.world.expectations == 1


@pytest.mark.row("A-14")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "203.0.113.1",
        "10.0.0.1",
        "10.0.0.255",
    ],
)
def test_an_announcement_of_no_host_of_its_own_opens_nothing(address: str):
    talk = ftp()
    line = b"PORT " + numbers(to_address(address), 5000) + b"\r\n"
    talk.say(CLIENT, line)
    if address == "203.0.113.1":
        # The client's own public address: it means itself, and nobody else is reached by it.
        assert all(e.public.address == E1 for e in talk.world.engine.expectations())
        return
    assert said_last(talk, SERVER) == line
    assert talk.world.expectations == 0


@pytest.mark.row("A-06", "1123-6b", "6384-6b", "A-05")
@pytest.mark.parametrize("victim", [OUT2, IN2, E1, GATEWAY])
def test_a_server_that_names_another_host_in_227_opens_nothing(victim: bytes):
    for address, expected in ((OUT1, 1), (victim, 0)):
        talk = ftp()
        talk.say(CLIENT, b"PASV\r\n")
        line = b"227 Entering Passive Mode (" + numbers(address, 5000) + b").\r\n"
        talk.say(SERVER, line)
        assert said_last(talk, CLIENT) == line
        assert talk.world.expectations == expected
    talk.world.tcp(OUT2, 20, E1, 5000, SYN)
    assert len(talk.world.flows) == 1


@pytest.mark.row("A-05")
def test_a_forged_227_opens_nothing_from_the_wrong_side_or_at_a_system_port():
    talk = ftp()
    talk.say(CLIENT, b"PASV\r\n")
    line = b"227 Entering Passive Mode (" + numbers(IN2, 22) + b").\r\n"
    forged = talk.ends[SERVER].write(ACK | PSH, line)
    talk.world.send(forged, Side.INSIDE).is_dropped(Reason.SPOOFED)
    talk.world.send(forged, Side.OUTSIDE)
    assert talk.world.expectations == 0
    unasked = ftp()
    unasked.say(SERVER, b"227 Entering Passive Mode (" + numbers(OUT1, 5000) + b").\r\n")
    assert unasked.world.expectations == 0


@pytest.mark.row("A-12")
def test_a_flood_of_announcements_is_bounded_per_connection_and_per_host():
    world = World(helpers=(FTP,))
    for n in range(30):
        talk = ftp(world, Endpoint(IN1, 4000 + n))
        for port in range(5000, 5020):
            talk.say(CLIENT, b"PORT " + numbers(IN1, port + 100 * n) + b"\r\n")
        assert sum(e.flow == world.flows[-1].id for e in world.engine.expectations()) <= 4
    assert world.expectations == FTP.expectations_per_host
    (view,) = world.engine.helpers()
    assert view.refused["host has too many expectations"] > 0
    other = ftp(world, Endpoint(IN2, 4000))
    other.say(CLIENT, b"PORT " + numbers(IN2, 5000) + b"\r\n")
    world.tcp(OUT1, 20, *announced(said_last(other, SERVER)), SYN).reaches(IN2, 5000)
    world.later(301)
    assert world.expectations == 0
    assert len(world.engine.table.mappings) == 31  # of the control connections


@pytest.mark.row("A-13")
def test_two_clients_that_announce_one_port_each_get_their_own_data():
    world = World(helpers=(FTP,))
    talks = {host: ftp(world, Endpoint(host, 4000)) for host in (IN1, IN2)}
    public = {}
    for host, talk in talks.items():
        talk.say(CLIENT, b"PORT " + numbers(host, 1025) + b"\r\n")
        public[host] = announced(said_last(talk, SERVER))
    assert public[IN1] != public[IN2]
    for host in (IN2, IN1):
        world.tcp(OUT1, 20, *public[host], SYN).reaches(host, 1025)


@pytest.mark.row("2577-4", "6384-7.2b", "2577-3", "3027-2.2")
def test_an_expectation_admits_one_connection_from_the_peer_and_nothing_else():
    talk = ftp()
    talk.say(CLIENT, b"PORT " + numbers(IN1, 1023) + b"\r\n")
    assert talk.world.expectations == 0
    talk.say(SERVER, b"504 no\r\n")
    talk.say(CLIENT, b"PORT " + numbers(IN1, 1024) + b"\r\n")
    public = announced(said_last(talk, SERVER))
    talk.world.tcp(OFF, 20, *public, SYN).is_dropped(Reason.FILTERED)
    talk.world.udp(OUT1, 20, *public).is_dropped()
    talk.world.tcp(OUT1, 20, *public, SYN).reaches(IN1, 1024)
    talk.world.tcp(OUT1, 21, *public, SYN).is_dropped(Reason.FILTERED)


@pytest.mark.row("A-05", "6384-7.2b")
def test_of_inside_hosts_seen_by_one_address_only_the_client_has_its_data_connection():
    published = Forward("ftp", TCP, None, PortRange(21, 21), IN2, 21)
    world = World(forwards=(published,), helpers=(FTP,))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(E1, 21))
    talk.say(CLIENT, b"PASV\r\n")
    talk.say(SERVER, b"227 here (" + numbers(IN2, 50021) + b")\r\n")
    public = announced(said_last(talk, CLIENT))
    thief = bytes((10, 0, 0, 9))
    world.tcp(thief, 5000, *public, SYN).is_dropped(Reason.FILTERED)
    world.tcp(IN1, 5000, *public, SYN).reaches(IN2, 50021)


@pytest.mark.row("A-22")
@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_a_port_that_the_host_listens_on_is_never_given_out(protocol: int):
    service = 61004
    for reserved in (True, False):
        world = World(ports=PortRange(61000, 61009), filtering=Behaviour.ENDPOINT_INDEPENDENT)
        if reserved:
            world.engine.reserve(frozenset({(protocol, service)}))
        given = set()
        for n in range(12):
            data = (
                packets.udp(IN1, service + n, OUT1, 53)
                if protocol == UDP
                else packets.tcp(IN1, service + n, OUT1, 53, SYN)
            )
            given |= {facts.source.port for facts in world.send(data).packets}
        assert (service in given) is not reserved
        probe = (
            packets.udp(OUT2, 1, E1, service)
            if protocol == UDP
            else packets.tcp(OUT2, 1, E1, service, SYN)
        )
        assert (world.send(probe).reason is Reason.HOST) is reserved


@pytest.mark.row("A-22")
def test_a_forwarded_port_is_never_given_out():
    forward = Forward("game", UDP, None, PortRange(61000, 61008), IN2, 61000)
    world = World(ports=PortRange(61000, 61009), forwards=(forward,))
    assert world.udp(IN1, 61000, OUT1, 53).leaves_from(E1).port == 61009
    world.udp(IN1, 61001, OUT1, 53).is_dropped(Reason.NO_PORTS)
    world.udp(OUT1, 53, E1, 61000).reaches(IN2, 61000)


@pytest.mark.row("A-23")
def test_off_path_resets_and_errors_remove_nothing():
    talk = ftp(World())
    public = talk.world.flow.public
    for number in range(3000):
        guess = (number * 1_431_655) % 2**32
        data = packets.tcp(OUT1, 21, *public, RST, seq=guess)
        talk.world.engine.receive(Packet(bytearray(data)), Side.OUTSIDE, talk.world.now)
    quoted = packets.tcp(*public, OUT1, 21, ACK, seq=99)
    talk.world.error(OFF, E1, 3, 4, quoted)
    assert talk.world.flow.state == "ESTABLISHED"
    talk.say(SERVER, b"still here\r\n")
    assert said_last(talk, CLIENT) == b"still here\r\n"


@pytest.mark.row("A-24", "A-31")
def test_an_inside_host_cannot_take_over_another_ones_mapping():
    world = World()
    talk = Conversation(world, Endpoint(IN1, 5000), Endpoint(OUT1, 80))
    public = world.flow.public
    talk.reset(CLIENT)
    theirs = world.tcp(IN2, 5000, OUT1, 80, SYN).leaves_from(E1)
    assert theirs != public
    world.tcp(IN2, 5000, OUT1, 80, RST, seq=talk.ends[CLIENT].said)
    talk.say(SERVER, b"for the first host")
    assert talk.heard(CLIENT) == b"for the first host"


SPOOFS = [
    *((Side.OUTSIDE, source, reason) for source, reason in (
        (IN1, Reason.SPOOFED),
        (IN2, Reason.SPOOFED),
        (E1, Reason.SPOOFED),
        (GATEWAY, Reason.SPOOFED),
        (to_address("127.0.0.1"), Reason.MARTIAN),
        (to_address("0.1.2.3"), Reason.MARTIAN),
        (to_address("224.0.0.5"), Reason.MARTIAN),
        (to_address("240.0.0.1"), Reason.MARTIAN),
        (to_address("255.255.255.255"), Reason.MARTIAN),
    )),
    *((Side.INSIDE, source, reason) for source, reason in (
        (E1, Reason.SPOOFED),
        (OUT1, Reason.SPOOFED),
        (to_address("10.0.1.2"), Reason.SPOOFED),
        (to_address("127.0.0.1"), Reason.MARTIAN),
        (to_address("224.0.0.5"), Reason.MARTIAN),
    )),
]  # fmt: skip


@pytest.mark.row("A-35")
@pytest.mark.parametrize(("side", "source", "reason"), SPOOFS)
@pytest.mark.parametrize("protocol", [UDP, TCP, ICMP])
def test_addresses_on_the_wrong_side_open_nothing(
    side: Side, source: bytes, reason: Reason, protocol: int
):
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT)
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    tcp = world.tcp(IN1, 5000, OUT1, 53, SYN).one.source
    good, destination = (IN1, OUT2) if side is Side.INSIDE else (OUT2, E1)

    def packet(source: bytes) -> bytes:
        if protocol == ICMP:
            return packets.echo(source, destination, 9)
        if protocol == UDP:
            return packets.udp(source, 9, destination, public.port)
        return packets.tcp(source, 9, destination, tcp.port, SYN)

    before = len(world.flows)
    world.send(packet(source), side).is_dropped(reason)
    assert len(world.flows) == before
    assert world.engine.counts[reason] == 1
    if not (protocol == ICMP and side is Side.OUTSIDE):
        assert world.send(packet(good), side).packets


@pytest.mark.row("A-36")
def test_packets_to_themselves_go_nowhere_and_hairpins_end():
    world = World(filtering=Behaviour.ENDPOINT_INDEPENDENT)
    for side in Side:
        land = packets.udp(E1, 80, E1, 80)
        world.send(land, side).is_dropped(Reason.SPOOFED)
        world.send(packets.tcp(E1, 80, E1, 80, SYN), side).is_dropped(Reason.SPOOFED)
    one = world.udp(IN1, 5000, OUT1, 53).one.source
    two = world.udp(IN2, 5000, OUT1, 53).one.source
    echoed, ttl = world.udp(IN1, 5000, *two, ttl=9).reaches(IN2), 8
    assert echoed.ttl == ttl
    while ttl > 1:  # two hosts that send everything back
        ttl -= 1
        echoed = world.udp(*echoed.destination, *echoed.source, ttl=echoed.ttl).one
        assert echoed.ttl == ttl
    world.udp(*echoed.destination, *echoed.source, ttl=echoed.ttl).is_dropped(Reason.TTL_EXPIRED)
    assert one != two


@pytest.mark.row("A-37")
def test_what_has_lost_its_state_is_not_sent_out_untranslated():
    """Every packet of every other test is looked at in the same way (`World`)."""
    talk = ftp()
    out = talk.say(CLIENT, b"NOOP\r\n").one
    came = talk.say(SERVER, b"200 ok\r\n").one
    assert talk.world.engine.close(talk.world.flow.id, talk.world.now)
    for flags in (ACK, FIN | ACK, RST, RST | ACK, SYN | ACK, 0):
        talk.send(CLIENT, flags, b"late").is_dropped(Reason.NO_FLOW)
    talk.world.error(IN1, OUT1, 3, 3, came.data).is_dropped(Reason.ICMP_UNRELATED)
    talk.world.reply(IN1, OUT1, 5).is_dropped(Reason.UNSUPPORTED)
    tail = packets.fragments(packets.udp(IN1, 5, OUT1, 53, bytes(100), fragment=0), 48)[1]
    assert talk.world.send(tail).packets == ()
    assert out.source.address == E1


@pytest.mark.row("A-37")
def test_an_error_from_inside_shows_no_inside_address_in_its_quote():
    world = World()
    public = world.udp(IN1, 5000, OUT1, 53).one.source
    came = world.udp(OUT1, 53, *public).reaches(IN1, 5000)
    world.error(IN2, OUT1, 11, 0, came.data).reaches(OUT1)
    wrong = packets.udp(OUT1, 53, IN2, 5000)
    world.error(IN1, OUT1, 3, 3, wrong).is_dropped(Reason.ICMP_UNRELATED)


def offloadable(protocol: int) -> tuple[World, bytes]:
    """A world with a flow that needs no more thought, and a packet of it."""
    world = World()
    if protocol == UDP:
        public = world.udp(IN1, 5000, OUT1, 80).one.source
        world.udp(OUT1, 80, *public)
        return world, packets.udp(IN1, 5000, OUT1, 80)
    talk = Conversation(world, Endpoint(IN1, 5000), Endpoint(OUT1, 80))
    return world, talk.ends[CLIENT].write(ACK, b"hello")


def spoilt(data: bytes, at: int, value: bytes) -> bytes:
    """With other bytes in it, and a right IP checksum."""
    changed = bytearray(data)
    changed[at : at + len(value)] = value
    changed[10:12] = b"\0\0"
    changed[10:12] = packets.checksum(bytes(changed[: max(20, (changed[0] & 15) * 4)])).to_bytes(
        2, "big"
    )
    return bytes(changed)


UDP_LENGTHS = [*range(8), 14, 0xFFFF]


@pytest.mark.row("A-39")
@pytest.mark.parametrize("known", [True, False])
def test_lengths_that_make_no_sense_go_nowhere(known: bool):
    for protocol in (UDP, TCP):
        world, good = offloadable(protocol)
        if not known:
            world = World()
            good = (
                packets.udp(IN1, 5000, OUT1, 80)
                if protocol == UDP
                else packets.tcp(IN1, 5000, OUT1, 80, SYN)
            )
        bad = [good[:size] for size in range(len(good))]
        bad += [spoilt(good, 0, bytes((0x40 | ihl,))) for ihl in range(5)]
        bad += [spoilt(good, 0, bytes((0x4F,)))]
        bad += [
            spoilt(good, 0, bytes((version << 4 | 5,))) for version in range(16) if version != 4
        ]
        bad += [
            spoilt(good, 2, total.to_bytes(2, "big"))
            for total in (0, 1, 19, 20, 23, 27, len(good) + 1, 0xFFFF)
        ]
        if protocol == UDP:
            bad += [spoilt(good, 24, length.to_bytes(2, "big")) for length in UDP_LENGTHS]
        else:
            bad += [spoilt(good, 32, bytes((offset << 4,))) for offset in (0, 1, 2, 3, 4, 15)]
        for data in bad:
            world.send(data, Side.INSIDE).is_dropped()
        assert world.send(good).packets


@pytest.mark.row("A-39")
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_the_padding_of_the_link_is_not_passed_on(protocol: int, known: bool):
    world, good = offloadable(protocol)
    if not known:
        world = World()
        good = (
            packets.udp(IN1, 5000, OUT1, 80)
            if protocol == UDP
            else packets.tcp(IN1, 5000, OUT1, 80, SYN)
        )
    assert len(world.send(good + b"trailer").one.data) == len(good)
    reply = packets.echo(IN1, OUT1, 7)
    assert len(world.send(reply + b"trailer").one.data) == len(reply)


@pytest.mark.row("A-39")
def test_a_corrupt_ip_header_goes_nowhere():
    world = World()
    good = packets.udp(IN1, 5000, OUT1, 80)
    bad = bytearray(good)
    bad[10] ^= 1
    world.send(bytes(bad)).is_dropped(Reason.BAD_CHECKSUM)
    world.send(good).leaves_from(E1)


@pytest.mark.row("A-21")
def test_one_host_cannot_fill_the_table_for_others():
    world = World(limits=Limits(flows=1000, flows_per_host=300), ports=PortRange(1024, 65535))
    old = world.udp(IN2, 5000, OUT1, 53).one.source
    for n in range(1500):
        data = packets.udp(IN1, 1024 + n, OUT1, 53)
        world.engine.receive(Packet(bytearray(data)), Side.INSIDE, world.now)
    assert world.engine.counts[Reason.HOST_LIMIT] == 1200
    world.udp(OUT1, 53, *old).reaches(IN2, 5000)
    world.udp(IN2, 5001, OUT1, 53).leaves_from(E1)


@pytest.mark.row("A-21", "6888-4")
def test_one_host_cannot_take_all_public_ports():
    world = World(limits=Limits(ports_per_host=30), ports=PortRange(61000, 61039))
    first = [world.udp(IN1, 5000 + n, OUT1, 53).leaves_from(E1) for n in range(30)]
    for n in range(100):
        world.udp(IN1, 6000 + n, OUT1, 53).is_dropped(Reason.PORT_LIMIT)
    world.udp(IN1, 5000, OUT2, 53).leaves_from(E1)
    world.tcp(IN1, 5000, OUT1, 80, SYN).leaves_from(E1)
    others = [world.udp(IN2, 5000 + n, OUT1, 53).leaves_from(E1) for n in range(10)]
    assert len({*first, *others}) == 40
    world.later(301)
    world.udp(IN1, 7000, OUT1, 53).leaves_from(E1)


@pytest.mark.row("A-21", "A-12")
def test_what_a_helper_expects_counts_to_its_host_and_so_does_whatever_uses_it():
    """PORT p, and then a flow from source p, must not be a way round the quota."""
    world = World(limits=Limits(ports_per_host=8), ports=PortRange(61000, 61039), helpers=(FTP,))
    talk = ftp(world)
    for port in range(2000, 2050):
        talk.say(CLIENT, b"PORT " + numbers(IN1, port) + b"\r\n")
        talk.say(SERVER, b"200 fine\r\n")
        world.tcp(IN1, port, OUT1, 80, SYN)
    table = world.engine.table
    assert len(table.mappings) == table.mappings.ports[packets.TCP, IN1] == 8
    world.tcp(IN2, 5000, OUT1, 80, SYN).leaves_from(E1)
    table.check()


@pytest.mark.row("A-29")
def test_a_flood_of_syns_is_its_senders_own_trouble_and_over_in_four_minutes():
    world = World(limits=Limits(flows_per_host=100))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    for n in range(2000):
        data = packets.tcp(IN2, 1024 + n, OUT1, 80, SYN)
        world.engine.receive(Packet(bytearray(data)), Side.INSIDE, world.now)
    assert world.engine.counts[Reason.HOST_LIMIT] == 1900
    talk.say(SERVER, b"still here")
    assert talk.heard(CLIENT) == b"still here"
    world.tcp(IN1, 4001, OUT1, 80, SYN).leaves_from(E1)
    world.later(241)
    assert len(world.flows) == 1
    world.tcp(IN2, 1024, OUT1, 80, SYN).leaves_from(E1)


@pytest.mark.row("A-29", "A-21")
@pytest.mark.parametrize("answered", [True, False], ids=["answered", "unanswered"])
def test_a_flood_of_forged_syns_keeps_no_client_out_of_a_published_server(answered: bool):
    """The server answers each, which makes none of them a connection."""
    web = Forward("web", TCP, None, PortRange(80, 80), IN1, 80)
    world = World(limits=Limits(flows_per_host=100), forwards=(web,))
    old = Conversation(world, Endpoint(OUT1, 4000), Endpoint(E1, 80))
    old.say(SERVER, b"hello")
    for n in range(500):
        forged = Endpoint(bytes((198, 51, 100, n % 250)), 5000 + n)
        syn = packets.tcp(*forged, E1, 80, SYN, seq=n, options=SCALED)
        world.engine.receive(Packet(bytearray(syn)), Side.OUTSIDE, world.now)
        if answered:
            answer = packets.tcp(
                IN1, 80, *forged, SYN | ACK, seq=9 << 24, ack=n + 1, options=SCALED
            )
            world.engine.receive(Packet(bytearray(answer)), Side.INSIDE, world.now)
            for guess in (0, 1 << 31):
                blind = packets.tcp(*forged, E1, 80, ACK, seq=n + 1, ack=guess)
                world.engine.receive(Packet(bytearray(blind)), Side.OUTSIDE, world.now)
    assert len(world.flows) == 100
    late = Conversation(world, Endpoint(OUT2, 4000), Endpoint(E1, 80))
    for talk in (old, late):
        talk.say(CLIENT, b"question")
        assert talk.heard(SERVER).endswith(b"question")
    world.later(241)
    assert {flow.remote.address for flow in world.flows} == {OUT1, OUT2}


@pytest.mark.row("A-16", "A-21")
def test_nothing_is_kept_for_who_has_not_heard_the_server_of_a_control_connection():
    """With large windows every second guess of an acknowledgment is within reach, which says little of who guesses."""
    ftp = Forward("ftp", TCP, None, PortRange(21, 21), IN1, 21)
    world = World(forwards=(ftp,), helpers=(FTP,))
    for n in range(8):
        forged, first = Endpoint(bytes((198, 51, 100, n)), 5000), 9 << 24
        syn = packets.tcp(*forged, E1, 21, SYN, seq=10, options=SCALED)
        world.engine.receive(Packet(bytearray(syn)), Side.OUTSIDE, world.now)
        answer = packets.tcp(IN1, 21, *forged, SYN | ACK, seq=first, ack=11, options=SCALED)
        world.engine.receive(Packet(bytearray(answer)), Side.INSIDE, world.now)
        for guess in (0, 1 << 31, first - 1, first + 100_000):
            early = packets.tcp(*forged, E1, 21, ACK, seq=100, ack=guess, payload=b"x" * 1000)
            world.engine.receive(Packet(bytearray(early)), Side.OUTSIDE, world.now)
    assert world.engine.manager.memory.used == 0
    world.tcp(*forged, E1, 21, ACK, seq=100, ack=first + 1, payload=b"x" * 1000)
    assert world.engine.manager.memory.used == 1000


@pytest.mark.row("A-16", "A-21")
def test_one_host_has_only_so_many_connections_inspected_as_there_is_memory_for():
    """The others go on as they are: data connections that their client opens need no helper."""
    limits = Limits(stream_memory=100 * COST, stream_memory_per_host=10 * COST)
    world = World(limits=limits, helpers=(FTP,))
    for n in range(30):
        syn = packets.tcp(IN1, 5000 + n, OUT1, 21, SYN)
        world.engine.receive(Packet(bytearray(syn)), Side.INSIDE, world.now)
    world.engine.check()
    assert len(world.flows) == 30
    assert [flow.helper for flow in world.flows].count("ftp") == 10
    assert len(world.events(events.HelperFailed)) == 20
    Conversation(world, Endpoint(IN2, 4000), Endpoint(OUT1, 21))
    assert world.flows[-1].helper == "ftp"


@pytest.mark.row("A-16", "A-29")
def test_forged_syns_keep_no_helper_from_the_control_connections_of_others():
    ftp = Forward("ftp", TCP, None, PortRange(21, 21), IN1, 21)
    limits = Limits(stream_memory=100 * COST, stream_memory_per_host=10 * COST)
    world = World(limits=limits, forwards=(ftp,), helpers=(FTP,))
    real = Conversation(world, Endpoint(OUT2, 4000), Endpoint(E1, 21))
    for n in range(1000):
        syn = packets.tcp(bytes((198, 51, 101 + n // 250, n % 250)), 5000, E1, 21, SYN)
        world.engine.receive(Packet(bytearray(syn)), Side.OUTSIDE, world.now)
    world.engine.check()
    assert 90 * COST < world.engine.manager.inspected.used <= 100 * COST
    for client, target in ((IN2, OUT1), (OUT1, E1)):
        Conversation(world, Endpoint(client, 4000), Endpoint(target, 21))
        assert world.flows[-1].helper == "ftp"
    real.say(CLIENT, b"PASV\r\n")
    real.say(SERVER, b"227 here (" + numbers(IN1, 50021) + b")\r\n")
    assert announced(said_last(real, CLIENT)).address == E1
    assert not world.events(events.HelperFailed)


@pytest.mark.row("A-29", "A-21")
def test_a_flood_of_forged_syns_leaves_the_published_host_its_own_flows():
    web = Forward("web", TCP, None, PortRange(80, 80), IN1, 80)
    world = World(limits=Limits(flows_per_host=100), forwards=(web,))
    own = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    for n in range(500):
        forged = packets.tcp(bytes((198, 51, 100, n % 250)), 5000 + n, E1, 80, SYN, seq=n)
        world.engine.receive(Packet(bytearray(forged)), Side.OUTSIDE, world.now)
        if n % 20 == 0:
            world.udp(IN1, 5000 + n, OUT1, 53).leaves_from(E1)
    own.say(SERVER, b"still here")
    assert own.heard(CLIENT) == b"still here"
    asked = world.engine.explain(UDP, Endpoint(IN1, 9), Endpoint(OUT1, 53), Side.INSIDE, world.now)
    assert "has reached its limit" not in asked.verdict
    for n in range(100):
        data = packets.udp(IN1, 6000 + n, OUT1, 53)
        world.engine.receive(Packet(bytearray(data)), Side.INSIDE, world.now)
    world.udp(IN1, 7000, OUT1, 53).is_dropped(Reason.HOST_LIMIT)
    assert len(world.flows) == 100


@pytest.mark.row("A-29", "A-21")
def test_a_table_full_of_forged_syns_has_room_for_everybody_else():
    """Those of the host that most of them go to are closed first, not those of a host that has few."""
    hosts = [bytes((10, 0, 0, 100 + n)) for n in range(10)]
    webs = [
        Forward(f"web{n}", TCP, None, PortRange(8000 + n, 8000 + n), host, 80)
        for n, host in enumerate(hosts)
    ]
    world = World(limits=Limits(flows=500, flows_per_host=60), forwards=tuple(webs))
    first = packets.tcp(OUT1, 4000, E1, 8000, SYN)
    world.engine.receive(Packet(bytearray(first)), Side.OUTSIDE, world.now)
    for n in range(1000):
        forged = packets.tcp(OFF, 5000 + n, E1, 8001 + n % 9, SYN, seq=n)
        world.engine.receive(Packet(bytearray(forged)), Side.OUTSIDE, world.now)
    assert len(world.flows) == 500
    for n in range(50):
        world.udp(IN1, 5000 + n, OUT1, 53).leaves_from(E1)
    assert len(world.flows) == 500
    assert [flow for flow in world.flows if flow.inside.address == hosts[0]]


@pytest.mark.row("A-21")
def test_a_flood_of_forged_datagrams_keeps_no_client_out_of_a_published_server():
    dns = Forward("dns", UDP, None, PortRange(53, 53), IN1, 53)
    world = World(limits=Limits(flows_per_host=100), forwards=(dns,))
    for _ in range(2):
        world.udp(OUT1, 4000, E1, 53).reaches(IN1, 53)
    for n in range(500):
        forged = packets.udp(bytes((198, 51, 100, n % 250)), 5000 + n, E1, 53)
        world.engine.receive(Packet(bytearray(forged)), Side.OUTSIDE, world.now)
    world.udp(OUT2, 4000, E1, 53).reaches(IN1, 53)
    world.udp(IN1, 53, OUT1, 4000).leaves_from(E1)
    world.engine.check()


@pytest.mark.row("5382-5t", "7857-2.1")
def test_a_connection_that_its_client_has_not_confirmed_lives_as_long_as_an_opening_one():
    world = World()
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=5).one.source
    world.tcp(OUT1, 80, *out, SYN | ACK, seq=9, ack=6)
    world.later(239)
    assert world.flows
    world.tcp(OUT1, 80, *out, SYN | ACK, seq=9, ack=6)
    world.later(239)
    world.tcp(IN1, 4000, OUT1, 80, ACK, seq=6, ack=10)
    world.later(7439)
    assert world.flows


@pytest.mark.row("A-21")
@pytest.mark.parametrize("ports", [PortRange(61000, 61000), PortRange(61001, 61000)])
def test_a_range_of_one_port_or_none_refuses_quietly(ports: PortRange):
    world = World(ports=ports)
    first = world.udp(IN1, 5000, OUT1, 53)
    assert bool(first.packets) is (ports.low == ports.high)
    world.udp(IN2, 5000, OUT1, 53).is_dropped(Reason.NO_PORTS)


@pytest.mark.row("A-21")
def test_without_any_public_address_nothing_leaves():
    world = World(public=())
    world.udp(IN1, 5000, OUT1, 53).is_dropped(Reason.NO_PORTS)
    world.change(public=(E1,))
    world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)


@pytest.mark.row("A-32")
def test_fragments_that_overlap_or_cannot_be_cost_their_whole_datagram():
    whole = packets.udp(IN1, 5000, OUT1, 53, bytes(100), fragment=0)
    first, second = packets.fragments(whole, 64)

    def at(offset: int, size: int, more: bool) -> bytes:
        flags = packets.MF if more else 0
        return packets.ip(
            IN1, OUT1, UDP, bytes(size), fragment=flags | offset // 8, identification=7
        )

    for odd in (
        at(56, 16, True),  # overlaps by 8
        at(0, 8, True),  # overlaps the first
        at(64, 7, True),  # not a multiple of 8
        at(65528, 16, False),  # ends beyond 65535
        at(64, 0, True),
    ):
        world = World()
        assert world.send(first).reason is Reason.HELD
        world.send(odd).is_dropped(Reason.FRAGMENT_LIMIT)
        assert world.send(second).packets == ()
        assert world.flows == []
    world = World()
    assert [world.send(piece).reason for piece in (first, first)] == [Reason.HELD, Reason.HELD]
    world.send(second).leaves_from(E1)


@pytest.mark.row("A-33", "A-03")
def test_a_command_at_the_start_of_a_fragment_is_read_in_its_stream():
    talk = ftp()
    line = b"NOOP " + b"x" * 39 + b"PORT " + numbers(IN1, 5000) + b"\r\n"
    segment = talk.ends[CLIENT].write(ACK | PSH, line, fragment=0)
    pieces = packets.fragments(segment, 64)
    assert pieces[1][20:].startswith(b"PORT ")
    talk.world.send(pieces[0])
    assert talk.world.send(pieces[1]).one.payload == line
    assert talk.world.expectations == 0


def forged(number: int) -> bytes:
    """An address that an attacker has written into his packets."""
    return bytes((45, 0, number >> 8, number & 255))


@pytest.mark.row("A-16", "A-21")
def test_datagrams_with_forged_sources_do_not_use_up_the_work_of_all():
    limits = replace(Limits(), lines_per_host=40, lines=160)
    world = World(helpers=(TFTP,), forwards=(TFTP_SERVER,), limits=limits)
    reasons = [world.udp(forged(n), 4000, E1, 69, payload=READ).reason for n in range(30)]
    assert reasons == [Reason.TRANSLATED] * 4 + [Reason.WORK_LIMIT] * 26
    world.udp(IN2, 4000, OUT1, 69, payload=READ).leaves_from(E1)
    world.udp(IN1, 4000, OUT1, 69, payload=READ).leaves_from(E1)
    world.later(1)
    world.udp(OUT1, 4000, E1, 69, payload=READ).reaches(IN1, 69)


@pytest.mark.row("A-16", "A-21")
def test_datagrams_with_forged_sources_do_not_use_up_the_memory_of_inspection():
    limits = replace(Limits(), stream_memory=8 * COST, stream_memory_per_host=4 * COST)
    world = World(helpers=(TFTP,), forwards=(TFTP_SERVER,), limits=limits)
    for number in range(20):
        for _ in range(2):
            world.udp(forged(number), 4000, E1, 69, payload=READ).reaches(IN1, 69)
    world.udp(IN2, 4000, OUT1, 69, payload=READ).leaves_from(E1)
    assert world.flows[-1].helper == "tftp"
    world.engine.check()
