"""What is tried: who is masqueraded, who announces how, on which port. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

STANDARD_PORT = 21
OTHER_PORT = 2121
MOVED_PORT = 8021
"""A public port whose server really listens on another one (the standard one)."""
SLOW_PORT = 2021
"""Its server sends no faster than SLOW_RATE, so that a transfer outlasts an idle timeout."""
PROUD_PORT = 2221
"""Its server announces the public address by itself (`pasv_address`)."""
DEFAULT_DATA_PORT = 2321
"""Its server connects from its own data port to the client's control port, unasked (RFC 959, 3.2)."""

HELPER_PORTS = (STANDARD_PORT, OTHER_PORT, SLOW_PORT, PROUD_PORT, DEFAULT_DATA_PORT)

KIB = 1024
MIB = 1024 * KIB
SMALL = 200 * KIB
BIG = 64 * MIB


class Announce(StrEnum):
    """How the endpoint of a data connection is named, and so who opens it."""

    PORT = "PORT"
    EPRT = "EPRT"
    PASV = "PASV"
    EPSV = "EPSV"
    NOT = "nothing"
    """RFC 959's default data port."""


ACTIVE = (Announce.PORT, Announce.EPRT)
ALL = (Announce.PORT, Announce.EPRT, Announce.PASV, Announce.EPSV)


@dataclass(frozen=True)
class Direction:
    """Who is masqueraded. `helped`: the announcements that cannot work without a helper."""

    name: str
    client: str
    server: str
    dials: str
    """The host whose address the client connects to."""
    helped: tuple[Announce, ...]
    otherwise: str = ""
    """Why the other announcements do not need it."""


CLIENT = Direction(
    "client masqueraded",
    client="in1",
    server="out1",
    dials="out1",
    helped=(Announce.PORT, Announce.EPRT, Announce.NOT),
    otherwise="the client opens the data connection, and masquerading lets it out",
)
SERVER = Direction(
    "server masqueraded, behind a port forward",
    client="out1",
    server="in2",
    dials="gw1",
    helped=(Announce.PASV, Announce.EPSV),
    otherwise="the server opens the data connection, and masquerading lets it out",
)
BOTH = Direction(
    "both, behind two gateways",
    client="in1",
    server="far1",
    dials="gw2",
    helped=ALL,
)
DIRECTIONS = (CLIENT, SERVER, BOTH)


@dataclass(frozen=True)
class Cell:
    """One thing to be shown, by every client that can do it (or by `clients` only)."""

    direction: Direction
    announce: Announce
    port: int = STANDARD_PORT
    title: str = ""
    """If it is not one of the matrix."""
    size: int = SMALL
    clients: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """Clients run on each of these, all at once; empty: on the direction's client alone."""
    unhelped: str = ""
    """Why it works without the helper although its announcement is one that usually does not."""

    @property
    def needs_helper(self) -> bool:
        return self.announce in self.direction.helped and not self.unhelped

    @property
    def reason(self) -> str:
        """Why it does not need the helper."""
        return self.unhelped or self.direction.otherwise

    @property
    def label(self) -> str:
        return self.title or f"{self.direction.name}, {self.announce}, port {self.port}"


MATRIX = tuple(
    Cell(direction, announce, port)
    for direction in DIRECTIONS
    for port in (STANDARD_PORT, OTHER_PORT)
    for announce in ALL
)

MORE = (
    Cell(BOTH, Announce.PASV, title="64 MiB each way", size=BIG, clients=("curl",)),
    Cell(
        CLIENT,
        Announce.PORT,
        title="three hosts, four clients each, all at once",
        hosts=("in1", "in2", "in3"),
    ),
    Cell(SERVER, Announce.PASV, MOVED_PORT, title="public port 8021, really 21"),
    Cell(SERVER, Announce.PASV, PROUD_PORT, title="the server names the public address itself"),
    Cell(
        CLIENT,
        Announce.PORT,
        title="AUTH TLS, refused, then PORT",
        clients=("lftp (asking for TLS)",),
    ),
    Cell(
        CLIENT,
        Announce.NOT,
        DEFAULT_DATA_PORT,
        title="nothing announced: the default data port",
        clients=("plain sockets",),
        unhelped="the control connection's own mapping admits its server",
    ),
)

STRICT = Cell(
    CLIENT,
    Announce.NOT,
    DEFAULT_DATA_PORT,
    title="the same where filtering looks at ports too",
    clients=("plain sockets",),
)
"""For gateways that admit only the very endpoint that was written to."""

SLOW_SECONDS = 10
SLOW_RATE = 100_000
"""Bytes per second."""
IDLE = 3
"""Seconds after which the gateway forgets an idle connection while the link is shown."""


@dataclass(frozen=True)
class Linked:
    """A transfer that outlasts the idle time of its silent control connection.

    `unhelped` is the same place behind the gateway whose helper is unloaded; None where no data
    connection would come about without a helper.
    """

    helped: Direction
    unhelped: Direction | None
    announce: Announce


def _behind_gw2(direction: Direction, client: str, server: str, dials: str) -> Direction:
    return Direction(direction.name, client, server, dials, ())


LINKS = (
    Linked(CLIENT, None, Announce.PORT),
    Linked(CLIENT, _behind_gw2(CLIENT, "far2", "out1", "out1"), Announce.PASV),
    Linked(SERVER, None, Announce.PASV),
    Linked(SERVER, _behind_gw2(SERVER, "out2", "far1", "gw2"), Announce.PORT),
)

KILL_AFTER = 4
"""Seconds until the gateways are killed, in the middle of transfers of SLOW_SECONDS."""

KILLED = (
    (CLIENT, Announce.PORT),
    (CLIENT, Announce.PASV),
    (SERVER, Announce.PORT),
    (SERVER, Announce.PASV),
    (BOTH, Announce.PORT),
    (BOTH, Announce.EPSV),
)
"""Transfers in the middle of which the gateways are killed and started again. The end of each is heard on the control
connection, whose sequence numbers the helper has shifted before."""
