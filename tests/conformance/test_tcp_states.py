"""The TCP state machine, compared with one that is written down here from RFC 7857, figure 1."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import pytest

from ipmasq.core.policy import Forward, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.tcp_states import CONNTRACK, Input, State, following
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, RST, SYN
from tests.conformance.world import E1, IN1, OUT1, Side, World

FIGURE_1 = {
    "closed": {"c-syn": "init"},
    "init": {"s-syn": "established", "timeout": "closed"},
    "established": {"c-fin": "c-fin", "s-fin": "s-fin", "c-rst": "trans", "s-rst": "trans"},
    "c-fin": {"s-fin": "c+s-fin", "timeout": "closed"},
    "s-fin": {"c-fin": "c+s-fin", "timeout": "closed"},
    "c+s-fin": {"timeout": "closed"},
    "trans": {"data": "established", "timeout": "closed"},
}
BEYOND_IT = {
    # It is not probed whether an idle connection is still there.
    ("established", "timeout"): "closed",
    # A reset before or after the established state shortens the wait likewise.
    **{(state, rst): "trans" for state in ("init", "c-fin", "s-fin") for rst in ("c-rst", "s-rst")},
    # The client may use its endpoint again at once (RFC 5382 REQ-2).
    ("c+s-fin", "c-syn"): "init",
    ("trans", "c-syn"): "init",
}
INPUTS = ("c-syn", "s-syn", "c-fin", "s-fin", "c-rst", "s-rst", "data", "timeout")


def reference(state: str, event: str) -> str:
    return BEYOND_IT.get((state, event)) or FIGURE_1[state].get(event, state)


MEANING = {
    "c-syn": Input.CLIENT_SYN,
    "s-syn": Input.SERVER_SYN,
    "c-fin": Input.CLIENT_FIN,
    "s-fin": Input.SERVER_FIN,
    "c-rst": Input.RESET,
    "s-rst": Input.RESET,
    "data": Input.DATA,
}


@pytest.mark.row("7857-2")
def test_every_sequence_of_six_inputs_leads_where_the_figure_says():
    seen = 0

    def walk(state: State, expected: str, left: int) -> None:
        nonlocal seen
        assert str(state) == expected
        seen += 1
        for name in INPUTS[:-1] if left else ():
            then = reference(expected, name)
            # A flow that is over ends, and the SYN opens another.
            anew = name == "c-syn" and expected in ("c+s-fin", "trans")
            walk(State.INIT if anew else following(state, MEANING[name]), then, left - 1)

    walk(State.INIT, "init", 6)
    assert seen == sum(7**n for n in range(7))


RFC_NAMES = {shown: str(state) for state, shown in CONNTRACK.items()}


class Ends:
    """Both ends of one connection attempt, which may do anything in any order."""

    IDLE: ClassVar = {"init": 241, "trans": 241, "c+s-fin": 241}

    def __init__(self) -> None:
        self.world = World()
        self.public = Endpoint(E1, 0)
        self.next = [1 << 31, 77]

    def step(self, event: str) -> str:
        if event == "timeout":
            self.world.now += self.IDLE.get(self.state, 7441)
            self.world.engine.tick(self.world.now)
            return self.state
        who = int(event[0] == "s")
        if event == "c-syn" and self.state == "c+s-fin":
            for end in (0, 1):
                self.send(end, ACK, b"")  # what each end has said last is acknowledged
        flag = {"syn": SYN, "fin": FIN | ACK, "rst": RST | ACK}.get(event[2:], ACK)
        if event == "s-syn":
            flag |= ACK
        self.send(who, flag, b"data" if event == "data" else b"")
        return self.state

    def send(self, who: int, flags: int, payload: bytes) -> None:
        ends = ((IN1, 4000, OUT1, 80), (OUT1, 80, *self.public))[who]
        before = self.state
        if flags & SYN and who == 0 and self.state in ("closed", "trans", "c+s-fin"):
            self.next = [self.next[0] + 1000, self.next[1] + 1000]
        seq, ack = self.next[who], self.next[1 - who] if flags & ACK else 0
        data = packets.tcp(*ends, flags, seq % 2**32, ack % 2**32, payload)
        verdict = self.world.engine.receive(Packet(bytearray(data)), Side(who), self.world.now)
        if verdict.packets and who == 0:
            out = verdict.packets[0].data
            self.public = Endpoint(E1, int.from_bytes(out[20:22], "big"))
        if verdict.packets and not flags & RST:
            self.next[who] += self.room(before, who, flags, payload)

    @staticmethod
    def room(before: str, who: int, flags: int, payload: bytes) -> int:
        """What a segment takes of its speaker's stream: nothing, where the ends would not accept it (a SYN
        in a connection, anything else before there is one; RFC 9293, 3.10.7)."""
        opening = before in ("closed", "init") or (not who and before in ("trans", "c+s-fin"))
        if flags & SYN:
            return int(opening)
        return 0 if before == "init" else len(payload) + bool(flags & FIN)

    @property
    def state(self) -> str:
        states = [RFC_NAMES[flow.state] for flow in self.world.flows]
        assert len(states) <= 1
        return states[0] if states else "closed"


@pytest.mark.row("7857-2", "7857-2.2a")
@pytest.mark.parametrize("first", INPUTS)
def test_every_sequence_of_segments_and_silence_leads_where_the_figure_says(first: str):
    for rest in product(INPUTS, repeat=3):
        ends, expected = Ends(), "closed"
        for event in ("c-syn", first, *rest):
            expected = reference(expected, event)
            assert ends.step(event) == expected, (first, *rest, event)
        ends.world.engine.check()


def test_a_syn_from_the_server_does_not_end_a_connection_that_is_over():
    world = World()
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=5).one
    world.tcp(OUT1, 80, *out.source, SYN | ACK, seq=9, ack=6)
    world.tcp(OUT1, 80, *out.source, FIN | ACK, seq=10, ack=6)
    world.tcp(IN1, 4000, OUT1, 80, FIN | ACK, seq=6, ack=11)
    assert world.flow.state == "TIME_WAIT"
    world.tcp(IN1, 4000, OUT1, 80, SYN, seq=5005)  # the last FIN is not acknowledged yet
    assert world.flow.state == "TIME_WAIT"
    world.tcp(OUT1, 80, *out.source, SYN, seq=4711)
    world.tcp(OUT1, 80, *out.source, ACK, seq=11, ack=7).reaches(IN1, 4000)
    again = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=5005)
    assert again.reason is Reason.TRANSLATED
    assert world.flow.state == "SYN_SENT"


@pytest.mark.parametrize("over", [True, False], ids=["over", "alive"])
def test_a_client_port_is_used_again_for_another_public_port_of_the_same_server_once_it_is_over(
    over: bool,
):
    """To the server, both connections have the same two ends."""
    forwards = tuple(
        Forward(str(port), packets.TCP, None, PortRange(port, port), IN1, 21) for port in (21, 8021)
    )
    world = World(forwards=forwards)
    world.tcp(OUT1, 4000, E1, 21, SYN, seq=5)
    world.tcp(IN1, 21, OUT1, 4000, SYN | ACK, seq=9, ack=6)
    world.tcp(IN1, 21, OUT1, 4000, FIN | ACK, seq=10, ack=6)
    if over:
        world.tcp(OUT1, 4000, E1, 21, FIN | ACK, seq=6, ack=11)
    again = world.tcp(OUT1, 4000, E1, 8021, SYN, seq=5005)
    if over:
        again.reaches(IN1, 21)
        assert world.flow.public.port == 8021
    else:
        again.is_dropped(Reason.NO_PORTS)
        assert world.flow.public.port == 21
