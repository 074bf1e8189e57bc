"""Raw frames into and out of an interface of a host, beside its own network stack."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator

from tests.hostile.packets import Facts, read

ETH_P_ALL, ETH_P_IP = 3, 0x0800
SO_RCVBUFFORCE = 33
ROOM = 64 << 20
"""Bytes that a tap may have waiting."""
BURST = 64
"""Packets that are sent before the pace is looked at."""


def packet_socket(interface: str, kind: int = ETH_P_IP) -> socket.socket:
    """To be made inside the host's namespace."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    made.bind((interface, kind))
    return made


class Wire:
    """Sends IP packets to the gateway from a host next to it, whatever source they name."""

    def __init__(self, raw: socket.socket, to: bytes) -> None:
        self._raw = raw
        self._head = to + raw.getsockname()[4] + ETH_P_IP.to_bytes(2, "big")
        self.bytes = 0
        """Bytes of packets sent so far, without frames."""

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self._raw.send(self._head + packet)
            self.bytes += len(packet)

    def pour(self, packets: Iterator[bytes], per_second: float) -> int:
        """All of them, no faster than that; returns how many there were."""
        started, count = time.monotonic(), 0
        for count, packet in enumerate(packets, 1):
            self.send(packet)
            if count % BURST == 0:
                early = started + count / per_second - time.monotonic()
                if early > 0:
                    time.sleep(early)
        return count

    def close(self) -> None:
        self._raw.close()


class Tap:
    """Sees the packets that come in at an interface (what the host itself sends there is left out)."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        raw.setblocking(False)

    def packets(self, patience: float = 0.0) -> Iterator[bytes]:
        """What has come in and what still comes until `patience` seconds from now."""
        until = time.monotonic() + patience
        while True:
            left = until - time.monotonic()
            if not select.select([self._raw], [], [], max(0.0, left))[0]:
                return
            try:
                frame, about = self._raw.recvfrom(1 << 16)
            except BlockingIOError:
                continue
            if about[2] != socket.PACKET_OUTGOING and about[1] == ETH_P_IP:  # type: ignore[attr-defined]
                yield frame[14:]
            if left < -1:
                return

    def facts(self, patience: float = 0.0) -> Iterator[Facts]:
        for packet in self.packets(patience):
            found = read(packet)
            if found:
                yield found

    def first(self, wanted: Callable[[Facts], object], patience: float = 3.0) -> Facts | None:
        """The first such packet, as soon as it is there."""
        return next((facts for facts in self.facts(patience) if wanted(facts)), None)

    def close(self) -> None:
        self._raw.close()
