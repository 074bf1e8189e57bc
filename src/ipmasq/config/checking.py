"""`ipmasq check`: everything to report about a file."""

from __future__ import annotations

from pathlib import Path

from ipmasq.config.host_checks import collisions, inaccessible, local_doubts
from ipmasq.config.host_state import HostState
from ipmasq.config.loading import Loaded, load
from ipmasq.config.mistakes import Mistake
from ipmasq.config.problems import Report, in_order
from ipmasq.config.sides import named_networks, resolve
from ipmasq.config.warnings import doubts, outside_every


def check(path: Path | str, here: HostState | None = None) -> Report:
    """Check a file. Never raises. Without `here`, nothing is reported about the machine where it will run."""
    return review(load(path), here)


def review(loaded: Loaded, here: HostState | None = None) -> Report:
    """Check a file that has been read already."""
    config = loaded.config
    mistakes: list[Mistake] = []
    warnings = list(doubts(config, loaded.helpers))
    networks = named_networks(config.gateway)
    if here is not None:
        mistakes += collisions(config, here)
        mistakes += inaccessible(config, here)
        warnings += local_doubts(config, here)
        networks = resolve(config.gateway, here).networks
    if networks and not any(each.key.startswith("gateway.inside") for each in loaded.problems):
        warnings += outside_every(config, networks)
    errors = in_order([*loaded.problems, *(loaded.problem(*each) for each in mistakes)])
    return Report(errors, in_order(loaded.problem(*each) for each in warnings))
