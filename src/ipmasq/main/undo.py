"""`ipmasq undo`: restores the host after a gateway was killed."""

from __future__ import annotations

from ipmasq.front.asking import Json
from ipmasq.front.exits import give_up
from ipmasq.front.output import say, say_json


def undo(as_json: Json = False) -> None:
    """Undo what a killed gateway has left here.

    Its routing rules and routes, kernel settings and filters at interfaces are undone, as the next start of a
    gateway would do. Nothing happens if there is nothing to undo. Exit code 1, and no change, while a gateway runs in
    this network namespace. What has no effect remains for the next start: the file of the control socket and, before
    Linux 6.6, empty clsact queueing disciplines.

    \b
    Example:
      ipmasq undo
    """
    from ipmasq.planes.leftovers import undo_leftovers
    from ipmasq.planes.plane import PlaneError
    from ipmasq.planes.tun.changes import SettingChanged

    try:
        found = undo_leftovers()
    except PlaneError as error:
        raise give_up(f"nothing is undone: {error}") from None
    if as_json:
        settings = [each for each in found.changes if isinstance(each, SettingChanged)]
        say_json(
            {
                "settings": {each.name: each.was for each in settings},
                "routing": len(found.changes) - len(settings),
                "filters": found.filters,
            }
        )
    else:
        say(f"undone: {found}" if found else "nothing is left to undo here")
