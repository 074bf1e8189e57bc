"""Everything that can happen to an engine, chosen one thing at a time, and the laws that hold after each.

`choose(n)` gives an integer of 0..n-1: Hypothesis draws it (`test_engine`), a fuzzer's bytes give it
(`fuzz/fuzz_engine.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

from ipmasq.core.engine import Engine
from ipmasq.core.policy import (
    Action,
    Behaviour,
    Forward,
    Limits,
    OnFailure,
    Policy,
    PortRange,
    Rule,
    Timeouts,
    Trigger,
)
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.wire.addresses import Address, Endpoint, to_address, to_network
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.conversation import End
from tests.conformance.packets import ACK, FIN, ICMP, PSH, RST, SYN, TCP, UDP, URG
from tests.core import datagrams
from tests.core.announcer import Announcer, NewerAnnouncer, here, use
from tests.core.laws import answer_is_well_formed, header_arrives_as_sent
from tests.core.odd_packets import any_fragment, any_packet, data_options, syn_options

Choose = Callable[[int], int]

INSIDE = to_network("10.0.0.0/24")
INNER = tuple(map(to_address, ("10.0.0.2", "10.0.0.3")))
PUBLIC = tuple(map(to_address, ("203.0.113.1", "203.0.113.2")))
OUTER = tuple(map(to_address, ("198.51.100.1", "198.51.100.2", "192.0.2.9")))
ODD = tuple(map(to_address, ("10.0.0.1", "127.0.0.1", "224.0.0.1", "0.0.0.0", "10.0.9.9")))
PORTS = PortRange(61000, 61011)
HELPER = use(expectations_per_flow=2, expectations_per_host=3)
TELLER = replace(
    datagrams.use(datagrams.Teller, expectations_per_flow=2, expectations_per_host=3),
    ports=frozenset({2121}),
)
POLICY = Policy(
    inside=(INSIDE,),
    public=PUBLIC[:1],
    own=frozenset((PUBLIC[0], ODD[0])),
    ports=PORTS,
    triggers=(Trigger("game", TCP, PortRange(6000, 6000), UDP, PortRange(7000, 7001), 20),),
    helpers=(HELPER, TELLER),
    limits=Limits(
        flows=40, flows_per_host=25, ports_per_host=8, fragmented_datagrams=4, stream_bytes=4096
    ),
)
FORWARDS = (
    Forward("web", TCP, None, PortRange(80, 80), INNER[0], 8080),
    Forward("ftp", TCP, PUBLIC[0], PortRange(2121, 2121), INNER[1], 21),
    Forward("range", UDP, None, PortRange(61000, 61003), INNER[1], 5000),
)
CHANGES: tuple[dict[str, object], ...] = (
    {},
    {"filtering": Behaviour.ENDPOINT_INDEPENDENT},
    {"filtering": Behaviour.ADDRESS_AND_PORT_DEPENDENT},
    {"mapping": Behaviour.ADDRESS_AND_PORT_DEPENDENT},
    {"mapping": Behaviour.ADDRESS_DEPENDENT},
    {"public": PUBLIC},
    {"public": PUBLIC[1:]},
    {"public": ()},
    {"ports": PortRange(61008, 61015)},
    {"data_ports": PortRange(61004, 61009)},
    {"timeouts": Timeouts(30, 10, 10, 20, 5, 3)},
    {"rules": (Rule(Action.DROP, destination_ports=(PortRange(53, 53),)),)},
    {"forwards": FORWARDS[:2]},
    {"inside": (to_network("10.0.0.2/32"),)},
    {"helpers": ()},
    {"helpers": (replace(HELPER, on_failure=OnFailure.DROP, orthogonal=False),)},
    {"helpers": (TELLER, HELPER)},
    {"helpers": (replace(TELLER, on_failure=OnFailure.DROP),)},
)
LINES = (
    b"NOOP\r\n",
    b"STOP\r\n",
    b"EVIL\r\n",
    b"FAIL\r\n",
    b"x" * 3000,
    b"\r\n",
    b"HERE ",
    b"HERE 1,2\r\n",
)
DATAGRAMS = (b"count", b"at 10.0.0.2:7000", b"at 10.0.0.3:5000", b"stop", b"evil", b"fail")
"""What the datagram helper understands."""
MOST_OUT_PER_IN, MOST_OUT_AT_ONCE = 4, 16384
"""Nothing goes out that is more than came in, but for this factor, and these bytes once."""
MOST_OF_ITS_OWN = 10
"""What is withheld is sent once, and repeated until it is acknowledged (`watch.MOST_REPEATS`)."""
WAITS = (0.0, 0.3, 1.0, 4.0, 16.0, 61.0, 241.0, 301.0, 7441.0)


class UnguardedEngine(Engine):
    """One whose faults come out: it does not turn them into counted drops."""

    def __init__(self, policy: Policy, chance: Callable[[int], int], now: float) -> None:
        super().__init__(policy, chance, now)
        self.manager.packet_failed = self._came_out  # type: ignore[method-assign]

    @staticmethod
    def _came_out(side: Side, data: bytes, error: Exception) -> None:
        raise error

    def _failed(self, packet: Packet, side: Side, now: float, error: Exception) -> Verdict:
        raise error


class Sent(NamedTuple):
    """What the engine let go on, and where it went."""

    data: bytes
    came: bytes
    side: Side
    intact: bool


class Stress:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.engine = UnguardedEngine(POLICY, Random(1).randrange, now)
        self.received = 0
        self.bytes_in = self.bytes_out = self.bytes_of_its_own = 0
        self.most_expected = HELPER.expectations_per_host, HELPER.expectations_per_flow
        self.sent: list[Sent] = []
        self.talks: list[tuple[End, End]] = []
        """Control connections whose ends count properly: client and server."""
        self.spoilt_fragments = False
        """What is put together may be of them."""

    # -- what can happen

    def packet(self, choose: Choose) -> None:
        """Any well-formed packet."""
        side = Side(choose(2))
        source = (INNER, OUTER)[side][choose(2)] if choose(8) else ODD[choose(len(ODD))]
        destination = self._destination(side, choose)
        self.receive(self._written(source, destination, choose), side)

    def odd_packet(self, choose: Choose) -> None:
        """Well-formed, with bits and options that few use, perhaps of a connection that there is."""
        side = Side(choose(2))
        source = (INNER, OUTER)[side][choose(2)]
        destination = self._destination(side, choose)
        self.receive(any_packet(source, destination, choose), side)

    def odd_fragment(self, choose: Choose) -> None:
        """Any piece, with options of any length, of one of a few datagrams of up to 64 kB."""
        side = Side(choose(2))
        destination = OUTER[0] if side is Side.INSIDE else PUBLIC[0]
        data = any_fragment((INNER, OUTER)[side][choose(2)], destination, choose)
        self.receive(data, side, intact=False)

    def answer(self, choose: Choose) -> None:
        """To something that has arrived."""
        if sent := self._recent(choose):
            data = sent.data
            protocol, at = data[9], (data[0] & 15) * 4
            if protocol in (TCP, UDP) and len(data) >= at + 8:
                sport, dport = data[at + 2 : at + 4], data[at : at + 2]
                ends = (
                    data[16:20],
                    int.from_bytes(sport, "big"),
                    data[12:16],
                    int.from_bytes(dport, "big"),
                )
                payload = self._payload(choose)
                if protocol == UDP:
                    reply = packets.udp(*ends, payload)
                else:
                    reply = self._tcp_answer(ends, data, at, payload, choose)
                self.receive(reply, self._side_of(data))
            elif protocol == ICMP and len(data) >= at + 8:
                number = int.from_bytes(data[at + 4 : at + 6], "big")
                self.receive(
                    packets.echo(data[16:20], data[12:16], number, reply=True), self._side_of(data)
                )

    def go_on(self, choose: Choose) -> None:
        """The sender of a TCP segment says the next thing, or the same again."""
        segments = [sent for sent in self.sent if sent.came[9] == TCP and len(sent.came) >= 40]
        if not segments:
            return
        came = segments[-1 - choose(min(6, len(segments)))]
        at = (came.came[0] & 15) * 4
        sport, dport, seq, ack = (
            int.from_bytes(came.came[at + start : at + end], "big")
            for start, end in ((0, 2), (2, 4), (4, 8), (8, 12))
        )
        size = len(came.came) - at - 20 + bool(came.came[at + 13] & (SYN | FIN))
        said = self._payload(choose, came.came[12:16])
        flags = (ACK, ACK | PSH, FIN | ACK, RST | ACK, ACK | URG)[choose(5)]
        seq = (seq + (size if choose(4) else choose(1 << 32))) % 2**32
        self.receive(
            packets.tcp(
                came.came[12:16],
                sport,
                came.came[16:20],
                dport,
                flags,
                seq,
                ack,
                said,
                urgent=choose(9),
            ),
            came.side,
        )

    def connect(self, choose: Choose) -> None:
        """A connection, mostly one that a helper inspects, opened as it should be, from either side."""
        client, server = End(choose(1 << 32)), End(choose(1 << 32))
        client.me, client.other = (
            Endpoint(INNER[choose(2)], 5000 + choose(3)),
            Endpoint(OUTER[choose(2)], 21 if choose(4) else 80),
        )
        if choose(3) == 0:
            client.me, client.other = (
                Endpoint(OUTER[choose(2)], 5000),
                Endpoint(PUBLIC[choose(2)], 2121),
            )
        syn = self.receive(client.write(SYN, options=syn_options(choose)), self._side_from(client))
        if syn and syn[0][9] == TCP:
            facts = packets.read(syn[0])
            client.said += 1
            server.me, server.other, server.awaited = facts.destination, facts.source, client.said
            self.receive(
                server.write(SYN | ACK, options=syn_options(choose)), self._side_from(server)
            )
            server.said += 1
            client.awaited = server.said
            self.receive(client.write(ACK), self._side_from(client))
            self.talks = [*self.talks[-3:], (client, server)]

    def say(self, choose: Choose) -> None:
        """The next line on one of them, perhaps in two segments, perhaps lost or not acknowledged."""
        if not self.talks:
            return
        ends = self.talks[choose(len(self.talks))]
        who = choose(2)
        speaker, listener = ends[who], ends[1 - who]
        line = (
            here(Endpoint(speaker.me.address, 2000 + choose(6)))
            if choose(3)
            else self._payload(choose)
        )
        cut = choose(len(line) + 1) if choose(2) else len(line)
        for piece in (line[:cut], line[cut:]):
            if not piece:
                continue
            flags = ACK | PSH | (FIN if choose(30) == 0 else 0)
            options = data_options(choose, speaker.awaited) if choose(2) else b""
            out = self.receive(
                speaker.write(flags, piece, options=options), self._side_from(speaker)
            )
            if choose(6) == 0:
                return  # nobody has heard it, and something else may be said in its place
            speaker.said += len(piece) + bool(flags & FIN)
            for data in out:
                facts = packets.read(data)
                if (facts.destination, facts.source) == (listener.me, listener.other):
                    listener.take(facts)
            if choose(6):
                self.receive(listener.write(ACK), self._side_from(listener))

    def disorder(self, choose: Choose) -> None:
        """A line in pieces that come in any order, some of them never, some again."""
        if not self.talks:
            return
        speaker = self.talks[choose(len(self.talks))][choose(2)]
        line = here(Endpoint(speaker.me.address, 2000 + choose(6))) + b"NOOP\r\n" * choose(3)
        size = 1 + choose(len(line))
        starts = list(range(0, len(line), size))
        for _ in range(1 + choose(2 * len(starts))):
            at = starts[choose(len(starts))]
            data = speaker.write(ACK | PSH, line[at : at + size], seq=(speaker.said + at) % 2**32)
            self.receive(data, self._side_from(speaker))
        if choose(2):
            speaker.said += len(line)

    def forge(self, choose: Choose) -> None:
        """A host that cannot see the connection writes a segment of it."""
        if not self.talks:
            return
        speaker = self.talks[choose(len(self.talks))][choose(2)]
        away = (0, 1, -1, 1000, -1000, 1 << 20, -1 << 20, 1 << 30, 1 << 31)
        data = speaker.write(
            (SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, FIN, 0)[choose(8)],
            self._payload(choose),
            options=data_options(choose, speaker.awaited) if choose(2) else b"",
            seq=(speaker.said + away[choose(len(away))]) % 2**32,
            ack=(speaker.awaited + away[choose(len(away))]) % 2**32,
            window=choose(1 << 16),
        )
        self.receive(data, self._side_from(speaker))

    def send_datagram(self, choose: Choose) -> None:
        """A client inside tells the helper for datagrams something."""
        text, summed = DATAGRAMS[choose(len(DATAGRAMS))], choose(4) > 0
        ends = INNER[choose(2)], 5000 + choose(2), OUTER[choose(2)], 2121
        self.receive(packets.udp(*ends, text, summed=summed), Side.INSIDE)

    def meet_expectation(self, choose: Choose) -> None:
        """A flow arrives at an expected endpoint: from the expected peer, or from another one."""
        expected = list(self.engine.expectations())
        if expected:
            expectation = expected[choose(len(expected))]
            peer = expectation.peer if choose(4) else OUTER[choose(2)]
            side = Side.INSIDE if peer in INSIDE else Side.OUTSIDE
            self.receive(packets.tcp(peer, 20, *expectation.public, SYN, choose(1 << 32)), side)

    @staticmethod
    def _side_from(end: End) -> Side:
        return Side.INSIDE if end.me.address in INSIDE else Side.OUTSIDE

    def error(self, choose: Choose) -> None:
        """An ICMP error about something that has arrived, from there or from a router."""
        if sent := self._recent(choose):
            side = self._side_of(sent.data)
            source = sent.data[16:20] if choose(2) else (INNER, OUTER)[side][choose(2)]
            kind = (3, 3, 11, 12, 4, 5)[choose(6)]
            quoted = sent.data[: 20 + choose(60)]
            data = packets.error(source, sent.data[12:16], kind, choose(6), quoted, choose(2000))
            self.receive(data, side, sent.intact)

    def fragments(self, choose: Choose) -> None:
        """A datagram in pieces, some of them lost, doubled or out of order."""
        side = Side(choose(2))
        source = (INNER, OUTER)[side][choose(2)]
        whole = packets.udp(
            source,
            5000,
            self._destination(side, choose),
            53,
            bytes(60),
            fragment=0,
            identification=choose(4),
        )
        pieces = packets.fragments(whole, 8 * (1 + choose(3)), 8 * (1 + choose(3)))
        for _ in range(1 + choose(5)):
            self.receive(pieces[choose(len(pieces))], side, not self.spoilt_fragments)

    def spoilt(self, choose: Choose) -> None:
        """Something like a packet that there has been."""
        data = bytearray(self.sent[-1 - choose(len(self.sent))].came if self.sent else bytes(40))
        for _ in range(1 + choose(3)):
            if data:
                data[choose(len(data))] = choose(256)
        if choose(3) == 0:
            del data[choose(len(data) + 1) :]
        if choose(2) and len(data) >= 20:
            data[10:12] = b"\0\0"
            length = max(20, (data[0] & 15) * 4)
            data[10:12] = packets.checksum(bytes(data[:length])).to_bytes(2, "big")
        self.receive(bytes(data), Side(choose(2)), intact=False)

    def garbage(self, choose: Choose) -> None:
        data = bytes(choose(256) for _ in range(choose(48)))
        self.receive(data, Side(choose(2)), intact=False)

    def wait(self, choose: Choose) -> None:
        self.now += WAITS[choose(len(WAITS))]
        if choose(2):
            self.engine.tick(self.now)
            self._hear_from_the_engine()
            deadline = self.engine.deadline()
            assert deadline is None or deadline > self.now

    def forward(self, choose: Choose) -> None:
        forward = FORWARDS[choose(len(FORWARDS))]
        names = [each.name for each in self.engine.forwards()]
        if forward.name in names:
            self.engine.remove_forward(forward.name, self.now)
        else:
            self.engine.add_forward(forward, self.now)

    def reload(self, choose: Choose) -> None:
        self.engine.apply(replace(POLICY, **CHANGES[choose(len(CHANGES))]), self.now)  # type: ignore[arg-type]

    def close(self, choose: Choose) -> None:
        number = choose(50)
        known = number in {flow.id for flow in self.engine.flows()}
        assert self.engine.close(number, self.now) is known

    def helper(self, choose: Choose) -> None:
        names = [each.name for each in self.engine.helpers()]
        if choose(2) and names:
            self.engine.unload_helper(names[choose(len(names))], self.now)
        elif choose(4) == 0:
            self.engine.load_helper(TELLER, self.now)
        else:
            make = (Announcer, NewerAnnouncer)[choose(2)]
            failure = (OnFailure.PASS, OnFailure.DROP)[choose(2)]
            self.engine.load_helper(replace(HELPER, make=make, on_failure=failure), self.now)

    def reserve(self, choose: Choose) -> None:
        self.engine.reserve(frozenset({(TCP, 61000 + choose(4)), (UDP, 61000 + choose(4))}))

    def look(self, choose: Choose) -> None:
        """Whoever looks changes nothing."""
        before = list(self.engine.flows()), list(self.engine.mappings())
        side = Side(choose(2))
        source = Endpoint((INNER, OUTER)[side][choose(2)], choose(65536))
        destination = Endpoint(self._destination(side, choose), (21, 53, 61000)[choose(3)])
        told = self.engine.explain((ICMP, TCP, UDP)[choose(3)], source, destination, side, self.now)
        assert told.verdict
        list(self.engine.expectations())
        assert self.engine.claims() is not None
        self.engine.events()
        assert before == (list(self.engine.flows()), list(self.engine.mappings()))

    EVENTS = (
        packet, answer, go_on, connect, say, meet_expectation, error, fragments, spoilt, garbage, wait,
        odd_packet, odd_fragment, disorder, forge, forward, reload, close, helper, reserve, look, send_datagram,
    )  # fmt: skip
    OPERATOR = (forward, reload, close, helper, reserve, look)
    """Of these events, those that an operator, or the host, causes."""

    # -- how it is written

    def _written(self, source: Address, destination: Address, choose: Choose) -> bytes:
        kind, sport = choose(4), (5000, 5001, 21, 20)[choose(4)]
        dport = (21, 53, 80, 2121, 6000, 7000, 61000 + choose(16))[choose(7)]
        if kind == 0:
            return packets.udp(
                source, sport, destination, dport, self._payload(choose), summed=choose(4) > 0
            )
        if kind == 1:
            return packets.echo(source, destination, sport, reply=choose(4) == 0)
        if kind == 2 and choose(4) == 0:
            return packets.ip(
                source, destination, choose(256), bytes(choose(30)), ttl=1 + choose(255)
            )
        flags = (SYN, SYN, SYN, SYN | ACK, ACK, RST, FIN | ACK, 0)[choose(8)]
        return packets.tcp(
            source, sport, destination, dport, flags, choose(1 << 32), choose(1 << 32)
        )

    def _tcp_answer(
        self, ends: tuple, data: bytes, at: int, payload: bytes, choose: Choose
    ) -> bytes:
        flags = data[at + 13]
        seq, ack = (int.from_bytes(data[at + start : at + start + 4], "big") for start in (4, 8))
        size = max(0, len(data) - at - (data[at + 12] >> 4) * 4) + bool(flags & (SYN | FIN))
        if flags & SYN and not flags & ACK:
            return packets.tcp(*ends, SYN | ACK, 7000 + choose(4), (seq + 1) % 2**32)
        reply = (ACK, ACK | PSH, FIN | ACK, RST | ACK)[choose(4)]
        return packets.tcp(*ends, reply, ack, (seq + size) % 2**32, payload)

    def _payload(self, choose: Choose, speaker: Address = INNER[0]) -> bytes:
        kind = choose(4)
        if kind == 0:
            return b""
        if kind == 1:
            return LINES[choose(len(LINES))]
        if kind == 2:
            line = here(Endpoint(speaker, 2000 + choose(4)))
            return line[: choose(len(line))] if choose(3) == 0 else line
        return here(Endpoint(OUTER[0], 2000 + choose(2))) + b"NOOP\r\n"

    @staticmethod
    def _destination(side: Side, choose: Choose) -> Address:
        kind = choose(8)
        if kind == 0:
            return ODD[choose(len(ODD))]
        if kind < 3 or side is Side.OUTSIDE:
            return PUBLIC[choose(2)] if kind < 7 else INNER[choose(2)]
        return OUTER[choose(2)]

    def _recent(self, choose: Choose) -> Sent | None:
        return self.sent[-1 - choose(min(12, len(self.sent)))] if self.sent else None

    @staticmethod
    def _side_of(data: bytes) -> Side:
        """Where an answer to a packet comes in."""
        return Side.INSIDE if data[16:20] in INSIDE else Side.OUTSIDE

    # -- the laws

    def receive(self, data: bytes, side: Side, intact: bool = True) -> list[bytes]:
        inspected = self._is_inspected(data, side)
        verdict = self.engine.receive(Packet(bytearray(data)), side, self.now)
        self.received += 1
        self.bytes_in += len(data)
        self._hear_from_the_engine()
        self.spoilt_fragments |= verdict.reason is Reason.HELD and not intact
        assert isinstance(verdict.reason, Reason)
        assert verdict.reason < Reason.IDLE
        if verdict.reason.is_drop:
            self._tells_its_sender(verdict.packets, data, side, intact)
            return []
        for packet in verdict.packets:
            out = bytes(packet.data)
            if verdict.reason is Reason.HOST:
                is_fragment = int.from_bytes(data[6:8], "big") & 0x3FFF
                assert is_fragment or out == data[: len(out)]
                continue
            self._is_well_formed(out, intact)
            if verdict.reason is not Reason.PASSED:
                self._shows_no_inside_address(out)
            self.sent = [*self.sent[-40:], Sent(out, data, side, intact)]
            self.bytes_out += len(out)
        own = [packet for packet in verdict.packets if bytes(packet.data[16:20]) != data[12:16]]
        if (
            verdict.reason is Reason.TRANSLATED
            and own
            and not int.from_bytes(data[6:8], "big") & 0x3FFF
        ):
            inspected = inspected or self._is_inspected(data, side)
            header_arrives_as_sent(data, bytes(own[0].data), -1, inspected)
        self._amplifies_little()
        return (
            []
            if verdict.reason is Reason.HOST
            else [bytes(packet.data) for packet in verdict.packets]
        )

    def _tells_its_sender(
        self, answers: Sequence[Packet], data: bytes, side: Side, intact: bool
    ) -> None:
        """What is said about a packet that went nowhere: to a host inside, once, and well-formed."""
        assert len(answers) <= (side is Side.INSIDE)
        for answer in answers:
            out = bytes(answer.data)
            answer_is_well_formed(out, data, intact)
            self.bytes_out += len(out)

    def _hear_from_the_engine(self) -> None:
        """What it sends by itself: what it has withheld, and repetitions of that."""
        for packet, _ in self.engine.outgoing():
            out = bytes(packet.data)
            self._is_well_formed(out, True)
            self._shows_no_inside_address(out)
            self.bytes_of_its_own += len(out)
        assert self.bytes_of_its_own <= MOST_OF_ITS_OWN * self.bytes_in

    def _amplifies_little(self) -> None:
        most = MOST_OUT_PER_IN * self.bytes_in + MOST_OUT_AT_ONCE
        assert self.bytes_out <= most, "more goes out than came in"

    def _is_inspected(self, data: bytes, side: Side) -> bool:
        """Whether it is of a flow that a helper inspects or has inspected."""
        at = (data[0] & 15) * 4 if data else 0
        if at < 20 or len(data) < at + 4 or data[9] not in (TCP, UDP):
            return False
        half = self.engine.table.find(side, data[9], data[12:20] + data[at : at + 4])
        return half is not None and half.flow.inspector is not None

    @staticmethod
    def _is_well_formed(out: bytes, intact: bool) -> None:
        if intact:
            packets.read(out)
            return
        assert out[0] >> 4 == 4
        assert (out[0] & 15) >= 5
        assert int.from_bytes(out[2:4], "big") == len(out)

    @staticmethod
    def _shows_no_inside_address(out: bytes) -> None:
        if out[16:20] in INSIDE:
            return
        assert out[12:16] not in INSIDE, "an inside address leaves"
        at = (out[0] & 15) * 4
        if out[9] == ICMP and out[at] in (3, 11, 12):
            assert out[at + 20 : at + 24] not in INSIDE, "a quote shows an inside address"
            assert out[at + 24 : at + 28] not in INSIDE, "a quote shows an inside address"

    def check(self) -> None:
        engine = self.engine
        engine.check()
        # Datagrams that were given up are counted beside the fragments that were held for them.
        assert sum(engine.counts) - engine.counts[Reason.FRAGMENT_TIMEOUT] == self.received
        flows = list(engine.flows())
        assert len(flows) <= engine.policy.limits.flows
        assert {flow.public.address for flow in flows} <= set(engine.policy.public)
        assert len(engine.manager.reassembly) <= 2 * engine.policy.limits.fragmented_datagrams
        expected = list(engine.expectations())
        per_host, per_flow = self.most_expected
        payers = Counter(each.payer for each in engine.manager.expectations)
        assert max(payers.values(), default=0) <= per_host
        for flow in {view.flow for view in expected}:
            assert sum(view.flow == flow for view in expected) <= per_flow
        publics = [(each.protocol, each.public) for each in engine.table.mappings]
        assert len(publics) == len(set(publics))
