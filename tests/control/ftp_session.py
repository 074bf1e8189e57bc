"""A session of active FTP on a gateway of `tests.control.running`, with the real helper."""

from __future__ import annotations

from dataclasses import replace

from ipmasq.core.policy import HelperUse, PortRange
from ipmasq.core.side import Side
from ipmasq.helpers.ftp import Ftp
from tests.conformance import packets
from tests.control.running import E1, POLICY, Running

FTP = HelperUse("ftp", Ftp, 6, frozenset((21,)), True)

WITH_FTP = replace(POLICY, helpers=(FTP,), ports=PortRange(1024, 65535))


def session(gateway: Running, client: bytes, server: bytes, command: bytes) -> int:
    """Log in, and announce a data connection, which the server opens. Return the number of the control flow."""
    back = packets.SYN | packets.ACK
    out = client, 40_000, server, 21
    public = packets.read(gateway.send(packets.tcp(*out, packets.SYN, 100))).source.port
    number = max(gateway.engine.table.flows)
    gateway.send(packets.tcp(server, 21, E1, public, back, 500, 101), Side.OUTSIDE)
    gateway.send(packets.tcp(*out, packets.ACK, 101, 501))
    said = packets.read(gateway.send(packets.tcp(*out, packets.ACK, 101, 501, command)))
    numbers = bytes(said.payload).decode().split()[1].split(",")
    port = int(numbers[4]) * 256 + int(numbers[5])
    gateway.send(packets.tcp(server, 20, E1, port, packets.SYN, 9000), Side.OUTSIDE)
    return number


def answer(gateway: Running, control: int) -> None:
    """Complete the handshake of the data connection of this control flow."""
    (data,) = (each for each in gateway.engine.flows() if each.master == control)
    server, back = data.remote.address, packets.SYN | packets.ACK
    gateway.send(packets.tcp(*data.inside, server, 20, back, 100, 9001))
    opened = packets.tcp(server, 20, E1, data.public.port, packets.ACK, 9001, 101)
    gateway.send(opened, Side.OUTSIDE)
