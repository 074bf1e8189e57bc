"""The configuration: mistakes, and what is legal but probably wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ipmasq.config import Problem
from ipmasq.config.directions import not_private
from ipmasq.config.host_checks import ephemeral_in_doubt, listening_in_doubt, memory_in_doubt
from ipmasq.config.host_checks import inaccessible as unusable_socket
from ipmasq.config.targets import doubtful_targets, strange_publics
from ipmasq.config.warnings import find_warnings
from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.doctor.leftovers import are_left

STOPS = "the gateway does not start, and a reload changes nothing"
WARNS = "the gateway runs, but not as its operator may expect"


def find(host: Host) -> Iterator[Finding]:
    loaded, here = host.loaded, host.here
    config = loaded.config
    for problem in (*loaded.problems, *(loaded.problem(*m) for m in unusable_socket(config, here))):
        yield _finding(problem, STOPS, host)
    if loaded.problems:
        return
    sides = host.sides
    found = [*find_warnings(config, loaded.helpers), *memory_in_doubt(config, here)]
    found += strange_publics(config, sides)
    if sides.networks:
        found += not_private(config, sides.networks)
        found += doubtful_targets(config, sides.networks, here, sides)
    if host.status is None:  # a running gateway has reserved its ports, and its sockets keep them
        found += [*ephemeral_in_doubt(config, here), *listening_in_doubt(config, here)]
    for mistake in found:
        yield _finding(loaded.problem(*mistake), WARNS, host)


def _finding(problem: Problem, effect: str, host: Host) -> Finding:
    if not Path(problem.path).exists() and are_left(host):  # which matters more
        return Finding(
            "configuration",
            f"{problem.path}: {problem.message}",
            "only what a killed gateway has left was looked for",
            "name the configuration of the gateway: ipmasq doctor FILE",
            is_hint=True,
        )
    location = problem.path if problem.line is None else f"{problem.path}, line {problem.line}"
    what = ": ".join(each for each in (problem.key, problem.message) if each)
    then = f"ipmasq check {problem.path}" if host.status is None else "ipmasq reload"
    fix = (
        f"edit {location}; then: {then}"
        if Path(problem.path).exists()
        else f"ipmasq setup {problem.path}"
    )
    return Finding("configuration", what, effect, fix, is_hint=effect == WARNS)
