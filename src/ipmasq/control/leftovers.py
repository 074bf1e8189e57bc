"""Says at the client's side that a gateway has left its changes here, where none answers."""

from __future__ import annotations

from contextlib import suppress

from ipmasq.planes.tun.record import record_in


def hint() -> str:
    """Return what to add to the message that no gateway answers. Empty if nothing is left of one."""
    try:
        if not record_in().exists():
            return ""
    except OSError:
        return ""
    from ipmasq.planes.leftovers import PlaneError, find_leftovers  # which takes a moment

    with suppress(PlaneError, OSError):
        if find_leftovers():
            return (
                "; one was killed or stopped with --keep, and its routing rules and kernel settings are still there: "
                "the next ipmasq run takes over or undoes them, ipmasq undo undoes them at once"
            )
    return ""
