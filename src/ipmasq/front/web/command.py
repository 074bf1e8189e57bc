"""`ipmasq web`. What it needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ipmasq.control.protocol import SOCKET_VARIABLE
from ipmasq.control.socket_path import usual_socket, usual_view_socket
from ipmasq.front.exits import Code, give_up
from ipmasq.front.output import say

LISTEN = "127.0.0.1:8470"


def web(
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where browsers reach the pages.")
    ] = LISTEN,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which browsers reach them; may be repeated."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The token that browsers need. Without a file one is made where one is needed.",
        ),
    ] = None,
    allow_changes: Annotated[
        bool,
        typer.Option("--allow-changes", help="Let browsers add forwards and close flows."),
    ] = False,
    socket: Annotated[
        str | None,
        typer.Option(
            "--socket",
            envvar=SOCKET_VARIABLE,
            metavar="PATH",
            help="The control socket; by default the one for views, if there is one and nothing is changed.",
        ),
    ] = None,
) -> None:
    """Serve pages for a browser that show the gateway.

    They change nothing, unless --allow-changes is given. An address that other machines reach needs a token, and so
    does --allow-changes.

    \b
    Examples:
      ipmasq web
      ipmasq web --listen 192.0.2.1:8470 --host gateway.example
      ipmasq web --allow-changes
    """
    from ipmasq.front.upstream import Upstream
    from ipmasq.front.web import serving
    from ipmasq.front.web.app import make_app

    try:
        address, port = serving.endpoint(listen)
        token, is_new = serving.token(token_file, address, allow_changes)
        rules = serving.rules(address, tuple(host or ()), token)
    except serving.WebError as error:
        raise give_up(str(error), Code.USAGE) from None
    if not rules.hosts:
        raise give_up("say by which name browsers reach the pages: --host NAME", Code.USAGE)
    try:
        listener = serving.listener(address, port)
    except OSError as error:
        raise give_up(f"cannot serve {listen}: {os.strerror(error.errno or 0)}") from None
    upstream = Upstream(socket or (lambda: _socket(allow_changes)))
    app = make_app(upstream, rules, allow_changes)
    shown = f"[{address}]" if ":" in address else address
    say(f"The pages are at http://{shown}:{listener.getsockname()[1]}/")
    if is_new:
        say(f"The token, until this command ends: {token}")
    sys.stdout.flush()  # or whoever waits for the address at the other end of a pipe would wait for ever
    serving.server(app, address, port).run([listener])


def _socket(changes: bool) -> str:
    """Return the socket for views, unless changes are wanted or there is none. It may come later, with a gateway that
    starts after this process or has a changed configuration."""
    view = usual_view_socket()
    return view if not changes and os.path.exists(view) else usual_socket()
