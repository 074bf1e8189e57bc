"""Captures in the making, as hosts without a gateway would be captured, and what the gateway makes of them."""

from __future__ import annotations

import io

from scapy.all import IP, TCP, Ether, raw

from ipmasq.core.policy import HelperUse, Policy
from ipmasq.helpers.ftp import Ftp
from ipmasq.planes.pcap import Sides
from ipmasq.replay.replay import Summary, replay
from ipmasq.wire import capture
from ipmasq.wire.addresses import to_address, to_network
from ipmasq.wire.pcapng import Writer
from ipmasq.wire.record import NANOSECONDS, Interface, Record

CLIENT, SERVER, GATEWAY = "10.0.0.2", "198.51.100.1", "203.0.113.1"
POLICY = Policy(
    inside=(to_network("10.0.0.0/24"),),
    public=(to_address(GATEWAY),),
    own=frozenset({to_address(GATEWAY)}),
    helpers=(HelperUse("ftp", Ftp, 6, frozenset({21}), True),),
)
START = 1_700_000_000 * NANOSECONDS
NIC = Interface("", 1)


class Tape:
    """A capture in the making. Each packet comes a tenth of a second after the one before."""

    def __init__(self) -> None:
        self.at = START
        self.buffer = io.BytesIO()
        self._writer = Writer(self.buffer)

    def add(self, packet: IP | Ether, interface: Interface = NIC, after: float = 0.1) -> None:
        self.at += round(after * NANOSECONDS)
        frame = raw(packet if isinstance(packet, (Ether, bytes)) else Ether() / packet)
        self._writer.write(Record(self.at, interface, frame, len(frame)))

    def replay(
        self, policy: Policy = POLICY, sides: Sides | None = None, seed: int = 1
    ) -> tuple[Summary, list[Record], bytes]:
        target = io.BytesIO()
        summary = replay(io.BytesIO(self.buffer.getvalue()), target, policy, sides, seed)
        written = target.getvalue()
        return summary, list(capture.read(io.BytesIO(written))), written


class Talk:
    """One TCP connection as a host of its own network would see it, without any gateway."""

    def __init__(
        self,
        tape: Tape,
        client: tuple[str, int],
        server: tuple[str, int],
        is_new: bool = True,
    ) -> None:
        """`is_new`: whether the capture has its beginning."""
        self._tape = tape
        self._ends = (client, server)
        self._next = [1000, 0xFFFFFFF0]
        if is_new:
            self._say(0, "S")
            self._say(1, "SA")
            self._say(0, "A")

    def client(self, line: bytes) -> None:
        self._say(0, "PA", line)
        self._say(1, "A")

    def server(self, line: bytes) -> None:
        self._say(1, "PA", line)
        self._say(0, "A")

    def close(self) -> None:
        self._say(0, "FA")
        self._say(1, "FA")
        self._say(0, "A")

    def _say(self, who: int, flags: str, payload: bytes = b"") -> None:
        (source, sport), (destination, dport) = self._ends[who], self._ends[1 - who]
        segment = TCP(
            sport=sport,
            dport=dport,
            seq=self._next[who],
            ack=self._next[1 - who] if "A" in flags else 0,
            flags=flags,
        )
        self._tape.add(IP(src=source, dst=destination) / segment / payload)
        step = len(payload) + ("S" in flags) + ("F" in flags)
        self._next[who] = (self._next[who] + step) & 0xFFFFFFFF


def active_ftp() -> Tape:
    """An active transfer, captured on the inside network, where nobody translated anything."""
    tape = Tape()
    control = Talk(tape, (CLIENT, 40000), (SERVER, 21))
    control.server(b"220 ready\r\n")
    control.client(b"PORT 10,0,0,2,19,137\r\n")
    control.server(b"200 PORT command successful\r\n")
    control.client(b"RETR file\r\n")
    data = Talk(tape, (SERVER, 20), (CLIENT, 5001))
    data.client(b"the file" * 10)
    data.close()
    control.server(b"226 done\r\n")
    control.client(b"QUIT\r\n")
    control.close()
    return tape
