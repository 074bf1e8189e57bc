"""Packets that nobody asked for, at a bounded rate: `python -m tests.soak.flood SEED SOURCE TARGET RATE`.

SOURCE is the /24 network that they pretend to come from (`198.51.100.0`), TARGET an address, RATE
packets per second. They are SYNs, segments of no connection, datagrams, echo requests, single fragments,
lines for a helper, and noise.
"""

from __future__ import annotations

import socket
import sys

from ipmasq.wire.addresses import to_address
from tests.conformance import packets
from tests.soak.worker import Worker

LAST_BYTES = 100, 255
"""Of the addresses that they come from: hosts of the lab have lower ones."""

BUNDLE = 0.02
"""Seconds between two bundles of packets."""


class Flood:
    def __init__(self, worker: Worker, source: str, target: str) -> None:
        self._chance = worker.chance
        self._source = to_address(source)
        self._target = to_address(target)

    def packet(self) -> bytes:
        chance = self._chance
        source = self._source[:3] + bytes((chance.randrange(*LAST_BYTES),))
        port = chance.choice(
            (21, 80, 2121, chance.randrange(61000, 65096), chance.randrange(1, 65536))
        )
        ends = (source, chance.randrange(1, 65536), self._target, port)
        match chance.randrange(8):
            case 0 | 1 | 2:
                return packets.tcp(*ends, packets.SYN)
            case 3:
                return packets.tcp(*ends, chance.randrange(64), payload=chance.randbytes(20))
            case 4:
                return packets.udp(*ends, chance.randbytes(chance.randrange(500)))
            case 5:
                return self._fragment(source)
            case 6:
                line = b"PORT 10,0,0,9,%d,%d\r\n" % (chance.randrange(256), chance.randrange(256))
                return packets.tcp(*ends[:3], 21, packets.ACK, payload=line)
        return self._noise(source)

    def _fragment(self, source: bytes) -> bytes:
        chance = self._chance
        options = {
            "fragment": packets.MF | chance.randrange(8000),
            "identification": chance.getrandbits(16),
        }
        return packets.ip(source, self._target, packets.UDP, chance.randbytes(64), **options)

    def _noise(self, source: bytes) -> bytes:
        chance = self._chance
        protocol = chance.choice((packets.ICMP, packets.TCP, packets.UDP, 47))
        return packets.ip(source, self._target, protocol, chance.randbytes(40))


def main(seed: str, source: str, target: str, rate: str) -> None:
    worker = Worker(int(seed))
    flood = Flood(worker, source, target)
    each = max(1, round(float(rate) * BUNDLE))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:

        def bundle() -> None:
            for _ in range(each):
                packet = flood.packet()
                raw.sendto(packet, (target, 0))
                worker.tally.complete(len(packet))

        worker.run(bundle, BUNDLE)


if __name__ == "__main__":
    main(*sys.argv[1:])
