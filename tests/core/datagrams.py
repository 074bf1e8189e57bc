"""Small helpers for datagrams."""

from __future__ import annotations

from ipmasq.core.helper import UDP, Helper, HelperContext
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.policy import HelperUse, OnFailure
from ipmasq.core.speaker import Speaker
from ipmasq.wire.addresses import Endpoint, to_address, to_text

READ = b"\x00\x01boot.img\x00octet\x00"
"""The first datagram of a TFTP client (RFC 1350, 5)."""


class Reader(Helper):
    """The part of TFTP that needs a gateway: the answer to a request comes from another port (RFC 1350, 4)."""

    name = "reader"
    ports = (69,)
    protocol = UDP
    orthogonal = True

    def on_line(self, line: bytes, context: HelperContext) -> None:
        if context.speaker is Speaker.CLIENT and line[:2] == b"\x00\x01":
            context.expect(context.endpoint(Speaker.CLIENT), UDP)


class Teller(Helper):
    """`at 10.0.0.2:7000` announces an endpoint as text of any length. What it was told so far, it counts."""

    name = "teller"
    ports = (69,)
    protocol = UDP
    orthogonal = True

    def __init__(self) -> None:
        self.told = 0

    state_version = 1

    def to_state(self) -> Plain:
        return {"told": self.told}

    def restore(self, state: Fields) -> None:
        self.told = state.integer("told")

    def on_line(self, line: bytes, context: HelperContext) -> None:
        self.told += 1
        if line == b"fail":
            raise RuntimeError("as asked")
        if line == b"evil":
            context.expect(context.endpoint(context.speaker), UDP)
            context.refuse("evil")
        if line == b"stop":
            context.stop()
        if line == b"count":
            context.replace(0, 5, b"%d" % self.told)
        if line == b"burst":
            context.replace(0, 5, bytes(0xFFFF))
        if line.startswith(b"at "):
            address, _, port = line[3:].decode().rpartition(":")
            seen = context.expect(Endpoint(to_address(address), int(port)), UDP)
            if seen is not None:
                context.replace(3, len(line), f"{to_text(seen.address)}:{seen.port}".encode())


def use(
    helper: type[Helper], on_failure: OnFailure = OnFailure.PASS, **changes: int | float
) -> HelperUse:
    ports = frozenset(helper.ports)
    return HelperUse(helper.name, helper, UDP, ports, True, on_failure, **changes)  # type: ignore[arg-type]
