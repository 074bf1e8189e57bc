"""How commands connect to a running gateway."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from ipmasq.control.client import Client
from ipmasq.control.protocol import SOCKET_VARIABLE
from ipmasq.control.socket_path import usual_socket
from ipmasq.front import completing

Socket: TypeAlias = Annotated[
    str,
    typer.Option(
        "--socket", envvar=SOCKET_VARIABLE, metavar="PATH", help="The gateway's control socket."
    ),
]
SOCKET = usual_socket()

CONFIG = "/etc/ipmasq/gateway.toml"
"""The configuration, unless another one is named."""

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Host: TypeAlias = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Only those with this address at any end.")
]
Port: TypeAlias = Annotated[
    int | None, typer.Option(metavar="PORT", help="Only those with this port at any end.")
]
Protocol: TypeAlias = Annotated[
    str | None,
    typer.Option("-p", "--protocol", metavar="tcp|udp|icmp", help="Only those of this protocol."),
]
Source: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-s",
        "--src",
        "--orig-src",
        metavar="ADDRESS[/LENGTH]",
        help="Only flows that this address, or one of this network, opened.",
    ),
]
SourcePort: TypeAlias = Annotated[
    int | None, typer.Option("--sport", metavar="PORT", help="Only flows opened from this port.")
]
Destination: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-d",
        "--dst",
        "--orig-dst",
        metavar="ADDRESS[/LENGTH]",
        help="Only flows opened to this address; of published servers, the public one.",
    ),
]
ReplySource: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-r",
        "--reply-src",
        metavar="ADDRESS[/LENGTH]",
        help="Only flows that this address answers; of published servers, the inside one.",
    ),
]
ReplyDestination: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-q",
        "--reply-dst",
        metavar="ADDRESS[/LENGTH]",
        help="Only flows answered to this address; of inside clients, the public one.",
    ),
]
DestinationPort: TypeAlias = Annotated[
    int | None, typer.Option("--dport", metavar="PORT", help="Only flows opened to this port.")
]
Helper: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Only flows that this helper inspects.",
        autocompletion=completing.helpers,
    ),
]


def ask(path: str) -> Client:
    """Connect to the gateway. Raises UnreachableError, which `exits.Group` turns into a message."""
    return Client(path)
