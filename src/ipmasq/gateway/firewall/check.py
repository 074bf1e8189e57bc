"""The firewall part of `ipmasq check`, before any gateway runs."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from typing import NamedTuple

from ipmasq.config import ConfigError, HostState, Loaded, compile, resolve
from ipmasq.core.policy import Forward
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.findings import findings
from ipmasq.gateway.firewall.forbidden import forbidden
from ipmasq.gateway.firewall.reading import read_tables
from ipmasq.gateway.firewall.watch import interface_to
from ipmasq.gateway.firewall.ways import Where

LINKS = (6, 6)
"""The first Linux version with which packets can pass the firewall once (`planes/ebpf/once.py`)."""


class Examined(NamedTuple):
    obstructing: tuple[Finding, ...] = ()
    forbidden: tuple[Finding, ...] = ()
    """What inside hosts may not use; it may be meant."""


def check(loaded: Loaded, here: HostState) -> tuple[Finding, ...]:
    """Return what obstructs a gateway, as far as the rules can be read, which takes root. Nothing for a file that
    cannot be used."""
    return examine(loaded, here).obstructing


def examine(
    loaded: Loaded,
    here: HostState,
    with_programs: bool = True,
    running: Sequence[Forward] = (),
    twice: bool = False,
) -> Examined:
    """Return everything that is found. `with_programs`: whether the gateway can have eBPF programs, as far as is
    known. `running`: the forwards of a running gateway, which may not be in the file. `twice`: whether its packets pass
    the firewall twice although it has programs."""
    try:
        policy = compile(loaded, here)
    except ConfigError:
        return Examined()
    gateway = loaded.config.gateway
    sides = resolve(gateway, here)
    if sides.outside is None:
        return Examined()
    able = with_programs and gateway.plane != "tun" and _release() >= LINKS
    names = {each.name for each in policy.forwards}
    forwards = (*policy.forwards, *(each for each in running if each.name not in names))
    published = bool(forwards or policy.triggers)
    networks = tuple(map(str, policy.inside))
    answers = not set(policy.public).isdisjoint(here.own)
    inside, once = tuple(sides.inside), able and not twice
    where = Where(sides.outside, inside, networks, once, able, published, answers)
    tables = read_tables()
    return Examined(findings(tables, where, forwards, interface_to), forbidden(tables, where))


def _release() -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", platform.release())[:2])
