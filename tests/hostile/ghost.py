"""A TCP connection through the gateway whose two ends are the attack itself, packet by packet."""

from __future__ import annotations

import itertools

from tests.hostile import packets
from tests.hostile.network import GHOST_IN, GHOST_OUT, PUBLIC, Network
from tests.hostile.packets import ACK, SYN, TCP, Facts
from tests.hostile.verdict import control

_ports = itertools.count(20000)
CLIENT_START, SERVER_START = 1_000_000, 5_000_000


class Ghost:
    """Numbers are those that each end uses; positions count from 0 after the SYN."""

    def __init__(self, network: Network, port: int = 21) -> None:
        self.network = network
        self.near = (GHOST_IN, next(_ports))
        self.far = (GHOST_OUT, port)
        self.public = (PUBLIC, 0)
        self.outside = network.tap("net", "transit")
        """What comes out at the server's side."""
        self.inside = network.tap("in2", "eth0")

    def say(
        self,
        at: int,
        payload: bytes = b"",
        flags: int = ACK,
        heard: int = 0,
        options: bytes = b"",
        window: int = 64000,
    ) -> None:
        """The client's segment at position `at`."""
        seq, ack = CLIENT_START + 1 + at, SERVER_START + 1 + heard
        if flags & SYN:
            seq, ack = CLIENT_START, 0
        self.network.inside.send(
            packets.tcp(
                self.near, self.far, flags, seq, ack, payload, options=options, window=window
            )
        )

    def reply(
        self,
        at: int,
        payload: bytes = b"",
        flags: int = ACK,
        heard: int = 0,
        options: bytes = b"",
        window: int = 64000,
    ) -> None:
        """The server's segment at position `at`."""
        seq, ack = SERVER_START + 1 + at - bool(flags & SYN), CLIENT_START + 1 + heard
        self.network.outside.send(
            packets.tcp(
                self.far, self.public, flags, seq, ack, payload, options=options, window=window
            )
        )

    def begin(self, options: bytes = b"") -> None:
        """The SYN alone."""
        self.say(0, flags=SYN, options=options)
        seen = self.outside.first(lambda facts: self.is_ours(facts) and facts.flags & SYN)
        control(seen, "the SYN of a control connection did not pass")
        assert seen
        self.public = seen.source

    def open(self, options: bytes = b"", window: int = 64000) -> None:
        """The handshake."""
        self.begin(options)
        self.reply(0, flags=SYN | ACK, options=options, window=window)
        control(
            self.inside.first(lambda facts: facts.destination == self.near and facts.flags & SYN),
            "the SYN+ACK of a control connection did not pass",
        )
        self.say(0)
        control(
            self.outside.first(lambda facts: self.is_ours(facts) and not facts.flags & SYN),
            "the handshake of a control connection did not pass",
        )

    def is_ours(self, facts: Facts) -> bool:
        """Whether it is what this connection's client sent, as it is seen outside."""
        return facts.protocol == TCP and facts.destination == self.far

    def position(self, facts: Facts) -> int:
        return (facts.seq - CLIENT_START - 1) & 0xFFFFFFFF

    def close(self) -> None:
        self.inside.close()
        self.outside.close()
