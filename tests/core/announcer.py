"""The smallest helper that announces: `HERE h1,h2,h3,h4,p1,p2` from either side, on one line."""

from __future__ import annotations

from ipmasq.core.helper import TCP, Fields, Helper, HelperContext, Plain
from ipmasq.core.policy import HelperUse, OnFailure
from ipmasq.core.speaker import Speaker
from ipmasq.wire.addresses import Endpoint


class Announcer(Helper):
    name = "announcer"
    ports = (21,)
    orthogonal = True
    state_version = 1

    def __init__(self) -> None:
        self.lines = 0

    def to_state(self) -> Plain:
        return {"lines": self.lines}

    def restore(self, state: Fields) -> None:
        self.lines = state.integer("lines")

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        return partial[:5] == b"HERE "[: len(partial)]

    def on_line(self, line: bytes, context: HelperContext) -> None:
        self.lines += 1
        if line == b"STOP\r\n":
            context.stop()
        if line == b"EVIL\r\n":
            context.refuse("evil")
        if line == b"FAIL\r\n":
            raise RuntimeError("as asked")
        if not line.startswith(b"HERE "):
            return
        numbers = [int(field) for field in line[5:-2].split(b",")]
        seen = context.expect(Endpoint(bytes(numbers[:4]), numbers[4] * 256 + numbers[5]))
        if seen is not None:
            fields = (*seen.address, seen.port >> 8, seen.port & 255)
            context.replace(5, len(line) - 2, b",".join(b"%d" % field for field in fields))


class NewerAnnouncer(Announcer):
    """Later code of the same helper: it understands `THERE` as well."""

    def on_line(self, line: bytes, context: HelperContext) -> None:
        super().on_line(line, context)
        if line == b"COUNT\r\n":
            context.refuse(f"{self.lines} lines")


def use(
    name: str = "announcer",
    *ports: int,
    make: type[Helper] = Announcer,
    orthogonal: bool = True,
    on_failure: OnFailure = OnFailure.PASS,
    **rest: int | float,
) -> HelperUse:
    return HelperUse(name, make, TCP, frozenset(ports or (21,)), orthogonal, on_failure, **rest)  # type: ignore[arg-type]


def here(endpoint: Endpoint) -> bytes:
    """The announcement of an endpoint."""
    fields = (*endpoint.address, endpoint.port >> 8, endpoint.port & 255)
    return b"HERE " + b",".join(b"%d" % field for field in fields) + b"\r\n"


def announced(line: bytes) -> Endpoint:
    """What such a line announces."""
    numbers = [int(field) for field in line[5:-2].split(b",")]
    return Endpoint(bytes(numbers[:4]), numbers[4] * 256 + numbers[5])
