"""`ipmasq check`: everything to report about a file."""

from __future__ import annotations

from pathlib import Path

from ipmasq.config.directions import not_private
from ipmasq.config.host_checks import (
    absent_inside,
    absent_outside,
    collisions,
    inaccessible,
    local_doubts,
)
from ipmasq.config.host_state import HostState
from ipmasq.config.loading import Loaded, load
from ipmasq.config.mistakes import Mistake
from ipmasq.config.problems import Report, in_order
from ipmasq.config.sides import named_networks, resolve
from ipmasq.config.targets import doubtful_targets, strange_publics
from ipmasq.config.warnings import find_warnings


def check(path: Path | str, here: HostState | None = None) -> Report:
    """Check a file. Never raises. Without `here`, nothing is reported about the machine where it will run."""
    return review(load(path), here)


def review(loaded: Loaded, here: HostState | None = None, starting: bool = False) -> Report:
    """Check a file that has been read already. `starting`: a missing inside interface may still appear, so it
    is no mistake."""
    config = loaded.config
    mistakes: list[Mistake] = []
    warnings = list(find_warnings(config, loaded.helpers))
    networks, sides = named_networks(config.gateway), None
    if here is not None:
        sides = resolve(config.gateway, here)
        networks = sides.networks
        mistakes += absent_outside(config, here)
        (warnings if starting else mistakes).extend(absent_inside(config, here))
        mistakes += collisions(config, here)
        mistakes += inaccessible(config, here)
        warnings += local_doubts(config, here)
        warnings += strange_publics(config, sides)
    if networks and not any(each.key.startswith("gateway.inside") for each in loaded.problems):
        warnings += not_private(config, networks)
        warnings += doubtful_targets(config, networks, here, sides)
    errors = in_order([*loaded.problems, *(loaded.problem(*each) for each in mistakes)])
    return Report(errors, in_order(loaded.problem(*each) for each in warnings))
