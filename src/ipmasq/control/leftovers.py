"""Says at the client's side that a gateway was killed here, where none answers."""

from __future__ import annotations

from contextlib import suppress

from ipmasq.planes.plane import PlaneError


def hint() -> str:
    """Return what to add to the message that no gateway answers. Empty if nothing is left of one."""
    from ipmasq.planes.leftovers import find_leftovers  # which takes a moment

    with suppress(PlaneError):
        if find_leftovers():
            return (
                "; one was killed, and its routing rules and kernel settings are still there: "
                "the next ipmasq run takes over or undoes them, ipmasq undo undoes them at once"
            )
    return ""
