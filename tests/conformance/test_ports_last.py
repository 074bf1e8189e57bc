"""Public ports last: one is free again as soon as no live flow uses it, and what comes late for a connection that is
over still finds it by its own five-tuple (RFC 6888 REQ-8, RFC 7857 2)."""

from __future__ import annotations

import pytest

from ipmasq.core import events
from ipmasq.core.keys import pack
from ipmasq.core.policy import HelperUse, Limits, PortRange, PortSet
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, FIN, RST, SYN, TCP
from tests.conformance.world import E1, IN1, IN2, INSIDE, OUT1, OUT2, Passage, World

FTP = HelperUse("ftp", Ftp, TCP, frozenset((21,)), Ftp.orthogonal)
FEW = PortRange(61000, 61009)


def numbers(address: bytes, port: int) -> bytes:
    return b",".join(b"%d" % n for n in (*address, *divmod(port, 256)))


def send(world: World, side: Side, *what: object, **more: object) -> list[Packet]:
    """Without the checks that `World.send` makes after each packet: there are very many."""
    data = packets.tcp(*what, **more)  # type: ignore[arg-type]
    return list(world.engine.receive(Packet(bytearray(data)), side, world.now).packets)


def short_connection(world: World, host: bytes, port: int, remote: Endpoint) -> int | None:
    """Opened from inside, answered and closed by both ends; its public port, or None if it got none."""
    sent = send(world, Side.INSIDE, host, port, *remote, SYN, seq=5)
    if not sent:
        return None
    public = bytes(sent[0].data[12:16]), int.from_bytes(sent[0].data[20:22], "big")
    back = (*remote, *public)
    send(world, Side.OUTSIDE, *back, SYN | ACK, seq=9, ack=6)
    send(world, Side.INSIDE, host, port, *remote, ACK, seq=6, ack=10)
    send(world, Side.INSIDE, host, port, *remote, FIN | ACK, seq=6, ack=10)
    send(world, Side.OUTSIDE, *back, FIN | ACK, seq=10, ack=7)
    send(world, Side.INSIDE, host, port, *remote, ACK, seq=7, ack=11)
    return public[1]


@pytest.mark.row("6888-8", "5382-2")
@pytest.mark.parametrize("end", ["closed", "reset"])
def test_a_port_is_free_when_its_connection_is_over_and_late_packets_still_find_that(end: str):
    world = World(ports=PortRange(61000, 61000))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    world.tcp(IN2, 4000, OUT2, 80, SYN).is_dropped(Reason.NO_PORTS)
    public = talk.ends[SERVER].other
    if end == "closed":
        talk.finish(CLIENT)
        talk.finish(SERVER)
    else:
        talk.reset(SERVER)
    fresh = world.tcp(IN2, 4000, OUT2, 80, SYN).one
    assert fresh.source == public
    late = packets.tcp(*talk.ends[SERVER].me, *public, FIN | ACK, seq=talk.ends[SERVER].said - 1)
    world.send(late).reaches(IN1, 4000)
    world.later(241)
    world.tcp(OUT2, 80, *public, RST | ACK, seq=0, ack=fresh.seq + 1)
    world.engine.check()


@pytest.mark.row("6888-8")
def test_the_five_tuple_of_a_connection_that_is_over_is_used_again_only_if_there_is_no_other():
    world = World(ports=PortRange(61000, 61001))
    remote = Endpoint(OUT1, 80)
    assert short_connection(world, IN1, 4000, remote)
    first = world.flow.public
    for port in range(4001, 4020):
        before = {flow.public for flow in world.flows}
        assert short_connection(world, IN2, port, remote)
        world.engine.check()
    assert len(before) == 2
    assert first in {flow.public for flow in world.flows}


@pytest.mark.row("4787-11")
def test_an_office_of_twenty_hosts_with_short_connections_never_runs_out():
    """500 connections a second for ten minutes would need 120,000 ports, were each held for four minutes. A
    twentieth of them, and a twentieth of the ports that there are usually, last by the same rule."""
    some = PortSet((PortRange(1024, 2610), PortRange(61000, 61226)))
    world = World(ports=some)
    hosts = [bytes((10, 0, 0, n)) for n in range(10, 30)]
    seen = set()
    for step in range(600):
        world.now += 1
        for number in range(25):
            host = hosts[(step * 25 + number) % 20]
            port = 1024 + (step * 25 + number) // 20 % 60000
            remote = Endpoint(bytes((198, 51, 100, number % 64)), 443)
            public = short_connection(world, host, port, remote)
            assert public is not None, f"after {step * 25 + number}"
            seen.add(public)
        if step % 100 == 99:
            world.engine.check()
    assert len(seen) > 0.99 * some.size
    assert all(port in some for port in seen)
    assert not world.engine.table.mappings
    assert world.engine.counts[Reason.NO_PORTS] == world.engine.counts[Reason.PORT_LIMIT] == 0
    assert not world.events(events.LimitNeared, events.LimitReached)


class Quick(World):
    """Without a look at each packet: there are very many."""

    def send(self, data: bytes, side: Side | None = None, *, intact: bool = True) -> Passage:
        if side is None:
            side = Side.INSIDE if data[12:16] in INSIDE else Side.OUTSIDE
        verdict = self.engine.receive(Packet(bytearray(data)), side, self.now)
        return Passage(verdict.reason, tuple(packets.read(bytes(p.data)) for p in verdict.packets))


@pytest.mark.row("6384-9")
def test_an_mget_of_half_an_hour_takes_no_port_from_others():
    """Active transfers, one after the other, and another host that opens connections all the time. 20 files a
    second of 4,096 ports are one a second of 204."""
    world = Quick(helpers=(FTP,), ports=PortRange(61000, 61203))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(SERVER, b"220 ready\r\n")
    for number in range(1800):
        world.now += 1
        inside = Endpoint(IN1, 5000 + number)
        talk.say(CLIENT, b"PORT " + numbers(*inside) + b"\r\n")
        talk.say(SERVER, b"200 fine\r\n")
        said = talk.heard(SERVER).splitlines()[-1][5:].split(b",")
        endpoint = Endpoint(bytes(map(int, said[:4])), int(said[4]) * 256 + int(said[5]))
        talk.say(CLIENT, b"RETR f%d\r\n" % number)
        assert world.tcp(OUT1, 20, *endpoint, SYN, seq=1000).reaches(*inside).seq == 1000
        world.tcp(*inside, OUT1, 20, SYN | ACK, seq=1, ack=1001)
        world.tcp(OUT1, 20, *endpoint, FIN | ACK, seq=1001, ack=2)
        world.tcp(*inside, OUT1, 20, FIN | ACK, seq=2, ack=1002)
        world.tcp(OUT1, 20, *endpoint, ACK, seq=1002, ack=3)
        talk.say(SERVER, b"150 here\r\n226 done\r\n")
        assert short_connection(world, IN2, 1024 + number, Endpoint(OUT2, 443)) is not None
        if number % 300 == 299:
            world.engine.check()
    assert len(world.engine.table.mappings) == 1
    assert not world.events(events.LimitNeared, events.LimitReached, events.Refused)


@pytest.mark.parametrize(
    "end", ["login", "restart", "closed", "reset by the client", "reset by the server"]
)
def test_expectations_end_with_their_session(end: str):
    world = World(helpers=(FTP,), ports=FEW)
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(SERVER, b"220 ready\r\n")
    talk.say(CLIENT, b"PORT " + numbers(IN1, 5000) + b"\r\n")
    talk.say(SERVER, b"200 fine\r\n")
    assert world.expectations == 1
    if end == "closed":
        talk.finish(CLIENT)
        talk.finish(SERVER)
    elif end.startswith("reset"):
        talk.reset(CLIENT if end.endswith("client") else SERVER)
    else:
        talk.say(CLIENT, b"USER other\r\n" if end == "login" else b"REIN\r\n")
    assert world.expectations == 0
    (ended,) = world.events(events.ExpectationEnded)
    gone = end in ("login", "restart")
    assert ended.reason is (Reason.WITHDRAWN if gone else Reason.MASTER_GONE)
    world.tcp(OUT1, 20, *ended.public, SYN).is_dropped(Reason.NO_MAPPING)
    assert len(world.engine.table.mappings) == (1 if gone else 0)


def test_what_a_pipelined_login_announces_afterwards_is_kept():
    """The answers to the login come later than the announcement."""
    world = World(helpers=(FTP,), ports=FEW)
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(SERVER, b"220 ready\r\n")
    login = b"USER me\r\nPASS x\r\nPORT " + numbers(IN1, 5000) + b"\r\n"
    talk.say(CLIENT, login)
    talk.say(SERVER, b"331 password\r\n230 hello\r\n200 fine\r\n")
    assert world.expectations == 1


def test_connections_that_are_over_count_to_no_host_and_give_way_when_the_table_is_full():
    world = Quick(limits=Limits(flows=20, flows_per_host=10, ports_per_host=10))
    remote = Endpoint(OUT1, 80)
    for port in range(4000, 4050):
        assert short_connection(world, IN1, port, remote) is not None
    assert len(world.flows) == 20
    assert {flow.inside.port for flow in world.flows} == set(range(4030, 4050)), "the oldest went"
    for host in (IN1, IN2):
        for port in range(5000, 5010):
            world.tcp(host, port, OUT2, 80, SYN).leaves_from(E1)
        refused = world.tcp(host, 5010, OUT2, 80, SYN)
        assert refused.reason is (Reason.HOST_LIMIT if host == IN1 else Reason.TABLE_FULL)
    assert {flow.state for flow in world.flows} == {"SYN_SENT"}, "what lives was not thrown out"
    world.engine.check()


def test_a_connection_that_lives_on_after_a_reset_does_not_give_way():
    world = Quick(limits=Limits(flows=2))
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    talk.reset(SERVER)
    assert world.flow.state == "CLOSE"
    talk.say(CLIENT, b"still here")
    assert world.flow.state == "ESTABLISHED"
    assert short_connection(world, IN2, 4000, Endpoint(OUT2, 80)) is not None
    for port in range(5000, 5010):
        assert short_connection(world, IN2, port, Endpoint(OUT2, 80)) is not None
    assert talk.world.engine.table.find(
        Side.INSIDE, TCP, pack(Endpoint(IN1, 4000), Endpoint(OUT1, 80))
    )
    world.engine.check()
