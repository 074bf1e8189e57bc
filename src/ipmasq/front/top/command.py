"""`ipmasq top`. What it needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ipmasq.control.client import Client
from ipmasq.control.protocol import SOCKET_VARIABLE
from ipmasq.control.socket_path import usual_socket, usual_view_socket
from ipmasq.front.exits import Code, give_up


def top(
    socket: Annotated[
        str | None,
        typer.Option(
            "--socket",
            envvar=SOCKET_VARIABLE,
            metavar="PATH",
            help="The control socket; by default the one that you may use.",
        ),
    ] = None,
) -> None:
    """Show the busiest flows, helpers and drops on a screen.

    Keys: Tab and the arrows move, Enter opens a flow, s sorts, / filters, c closes the opened flow, q ends.

    \b
    Example:
      ipmasq top
    """
    path = socket or _socket()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise give_up("top needs a terminal; for a program: ipmasq show flows --json", Code.USAGE)
    Client(path).close()
    from ipmasq.front.top.app import Top
    from ipmasq.front.upstream import Upstream

    Top(Upstream(path)).run()


def _socket() -> str:
    """Return the control socket, or the one for views if only that may be used."""
    view, control = usual_view_socket(), usual_socket()
    only_views = not os.access(control, os.W_OK) and os.access(view, os.W_OK)
    return view if only_views else control
