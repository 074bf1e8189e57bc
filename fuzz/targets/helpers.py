"""Helpers that others might write, in an engine: one that does anything, and the example of the documentation.

The chatty one waits for whatever it likes, replaces, expects, refuses, stops and raises as the lines tell it. What
both ends hear is compared with what the helper said it would be; the laws of the engine hold as well.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import ModuleType

from fuzz.choices import Choices
from ipmasq.core.helper import TCP, UDP, Helper, HelperContext
from ipmasq.core.policy import HelperUse, OnFailure
from ipmasq.core.speaker import Speaker
from ipmasq.wire.addresses import Endpoint
from tests.conformance import packets
from tests.conformance.conversation import End
from tests.conformance.packets import ACK, FIN, PSH, SYN
from tests.core.stress import INNER, OUTER, Stress

MEASURED = (
    "ipmasq.core.attachment",
    "ipmasq.core.helping",
    "ipmasq.core.expectations",
    "ipmasq.core.tcp_rewriter",
    "ipmasq.core.stream",
)
LONGEST = 250
MSS = b"\2\4\5\xb4"
PAGE = Path(__file__).parent.parent.parent / "docs" / "writing-a-helper.md"


class Chatty(Helper):
    """Each byte of a line, but for its terminator, is something that it wishes."""

    name, ports, orthogonal = "chatty", (21,), True
    terminator, max_line = b"\n", 64

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        if partial[0] == 0xFF:
            raise LookupError("as asked")
        return partial[0] & 1 == 1

    def on_line(self, line: bytes, context: HelperContext) -> None:
        for at, request in enumerate(line[:-1]):
            kind = request >> 4
            if kind < 4:
                context.replace(at, at + 1 + (request & 3), bytes((65 + at % 26,)) * (request & 15))
            elif kind < 7:
                me = context.endpoint(Speaker(request >> 3 & 1)).address
                context.expect(Endpoint(me, 1020 + (request & 7)), (TCP, UDP)[request & 1])
            elif request == 0x70:
                context.refuse("as asked")
            elif request == 0x71:
                context.stop()
            elif request == 0x72:
                raise RuntimeError("as asked")


@cache
def example() -> type[Helper]:
    """The first helper of the page, as its readers copy it."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert found is not None
    module = ModuleType("example")
    exec(compile(found[1], str(PAGE), "exec"), vars(module))
    helper: type[Helper] = vars(module)["Rtsp"]
    return helper


RTSP = (
    b"SETUP rtsp://camera.example/1 RTSP/1.0\r\n",
    b"Transport: RTP/AVP;unicast;client_port=4588-4589\r\n",
    b"Transport: RTP/AVP;client_port=61000-61001;server_port=9000-9001\r\n",
    b"transport:RTP/AVP/UDP;client_port=0-70000;x\r\n",
    b"RTSP/1.0 200 OK\r\n",
    b"CSeq: 3\r\n",
    b"\r\n",
)


def one_input(data: bytes) -> None:
    choices = Choices(data)
    make = Chatty if choices(3) else example()
    failure = choices.pick((OnFailure.PASS, OnFailure.PASS, OnFailure.DROP))
    used = HelperUse(make.name, make, TCP, frozenset((21,)), True, failure, 3, 4, 30.0)
    stress = Stress()
    stress.engine.unload_helper("announcer", 0.0)
    stress.engine.load_helper(used, 0.0)
    stress.most_expected = 4, 3
    ends = connect(stress, choices)
    while choices.left > 0:
        kind = choices(32)
        if kind == 0:
            stress.engine.unload_helper(used.name, stress.now)
            stress.engine.load_helper(used, stress.now)
        elif kind == 1:
            stress.engine.load_helper(used, stress.now)
        elif kind == 2:
            stress.wait(choices)
        elif kind == 3:
            stress.meet_expectation(choices)
        else:
            say(stress, ends, kind & 1, choices, make is Chatty)
    stress.check()


def connect(stress: Stress, choices: Choices) -> tuple[End, End]:
    client, server = End(choices(1 << 32)), End(choices(1 << 32))
    client.me, client.other = Endpoint(INNER[0], 5000), Endpoint(OUTER[0], 21)
    (syn,) = stress.receive(client.write(SYN, options=MSS), stress._side_from(client))
    facts = packets.read(syn)
    client.said += 1
    server.me, server.other, server.awaited = facts.destination, facts.source, client.said
    stress.receive(server.write(SYN | ACK, options=MSS), stress._side_from(server))
    server.said += 1
    client.awaited = server.said
    stress.receive(client.write(ACK), stress._side_from(client))
    return client, server


def say(stress: Stress, ends: tuple[End, End], who: int, choices: Choices, chatty: bool) -> None:
    """One segment: lines, or a piece of one; heard and acknowledged, or lost and perhaps said again."""
    speaker, listener = ends[who], ends[1 - who]
    if chatty:
        text = choices.bytes(choices(24)) + (b"\n" if choices(3) else b"")
    else:
        line = choices.pick(RTSP)
        text = line[choices(len(line)) if choices(4) == 0 else 0 :]
    out = stress.receive(
        speaker.write(ACK | PSH | (FIN if choices(40) == 0 else 0), text),
        stress._side_from(speaker),
    )
    if choices(6) == 0:
        return
    speaker.said += len(text)
    for each in out:
        facts = packets.read(each)
        if (facts.destination, facts.source) == (listener.me, listener.other):
            listener.take(facts)
    if choices(6):
        stress.receive(listener.write(ACK), stress._side_from(listener))
