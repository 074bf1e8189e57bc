"""Where the state of the gateway of this network namespace is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ipmasq.control.client import UnreachableError
from ipmasq.front import output
from ipmasq.front.asking import CONFIG, ask
from ipmasq.front.exits import Code, give_up

if TYPE_CHECKING:
    from ipmasq.continuity.kept import Location
    from ipmasq.continuity.settings import StateSettings

NOT_KEPT = "keeps no state: state.keep is false, or it is a member of a group ([ha])"


def path_of_state(socket: str, config: str | None) -> Path:
    """Return the file of the gateway that runs here, or, if none answers, the one that it would have. Raises
    typer.Exit if no state is kept."""
    try:
        with ask(socket) as gateway:
            state = next(gateway.rows("status")).get("state")
    except UnreachableError:
        return location(config).path
    if not state:
        raise give_up(f"the gateway {NOT_KEPT}")
    if not state["kept"]:
        reason = state.get("trouble") or "it has only just started"
        raise give_up(f"the gateway keeps no state at present: {reason}")
    return Path(state["path"])


def location(config: str | None) -> Location:
    """Return where a gateway with this configuration would look for its state; None: the usual configuration, if
    there is one. Raises typer.Exit."""
    from ipmasq.gateway.keeping import location_of_state
    from ipmasq.planes.tun.record import DIRECTORY

    return location_of_state(_settings(config), DIRECTORY)


def _settings(config: str | None) -> StateSettings:
    from ipmasq.continuity.settings import StateSettings

    if config is None and not Path(CONFIG).exists():
        return StateSettings()
    from ipmasq.config import load

    loaded = load(config or CONFIG)
    for problem in loaded.problems:
        output.complain(str(problem))
    if loaded.problems:
        raise typer.Exit(Code.CONFIG)
    settings = StateSettings(**dict(loaded.config.state))
    if loaded.config.ha.is_wanted or not settings.keep:
        raise give_up(f"a gateway with the configuration {loaded.path} {NOT_KEPT}")
    return settings
