"""`ipmasq undo`: restores the host after a gateway was killed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ipmasq.control.socket_path import usual_socket, usual_view_socket
from ipmasq.front.asking import Json
from ipmasq.front.exits import give_up
from ipmasq.front.output import say, say_json


def undo(as_json: Json = False) -> None:
    """Undo what a killed gateway has left here.

    Its routing rules and routes, kernel settings and filters at interfaces are undone, as the next start of a
    gateway would do. Nothing happens if there is nothing to undo. Exit code 1, and no change, while a gateway runs in
    this network namespace. The files of its sockets are removed, unless a process serves them. What has no effect
    remains for the next start: before Linux 6.6, empty clsact queueing disciplines.

    \b
    Example:
      ipmasq undo
    """
    from ipmasq.planes.leftovers import undo_leftovers
    from ipmasq.planes.plane import PlaneError
    from ipmasq.planes.tun.changes import SettingChanged

    sockets = _sockets()
    try:
        found = undo_leftovers()
    except PlaneError as error:
        raise give_up(f"nothing is undone: {error}") from None
    removed = _remove_dead(sockets)
    if as_json:
        settings = [each for each in found.changes if isinstance(each, SettingChanged)]
        say_json(
            {
                "settings": {each.name: each.was for each in settings},
                "routing": len(found.changes) - len(settings),
                "filters": found.filters,
                "sockets": [str(each) for each in removed],
            }
        )
        return
    if found or not removed:
        say(f"undone: {found}" if found else "nothing is left to undo here")
    for each in removed:
        say(f"removed: {each}, a socket that nobody served")


def _sockets() -> list[Path]:
    """Return where the killed gateway may have left sockets. Paths that another user has named are none of them."""
    from ipmasq.planes.tun.started import noted

    known = noted()
    named = known.sockets if known and known.config else ()
    return [Path(each) for each in {usual_socket(), usual_view_socket(), *named}]


def _remove_dead(sockets: list[Path]) -> list[Path]:
    """Remove those that nobody serves, and return them. No gateway can start meanwhile, which would be about to serve one."""
    from ipmasq.control.server import remove_dead
    from ipmasq.planes.plane import PlaneError
    from ipmasq.planes.tun.journal import reserved

    there = [each for each in sockets if os.path.lexists(each)]
    if there:
        with suppress(PlaneError, OSError), reserved():
            for each in there:
                remove_dead(each)
    return sorted(each for each in there if not os.path.lexists(each))
