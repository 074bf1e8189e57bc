"""The firewall part of `ipmasq check`, before any gateway runs."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence

from ipmasq.config import ConfigError, HostState, Loaded, compile, resolve
from ipmasq.core.policy import Forward
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.findings import findings
from ipmasq.gateway.firewall.reading import read_tables
from ipmasq.gateway.firewall.watch import interface_to
from ipmasq.gateway.firewall.ways import Where

LINKS = (6, 6)
"""The first Linux version with which packets can pass the firewall once (`planes/ebpf/once.py`)."""


def check(
    loaded: Loaded,
    here: HostState,
    with_programs: bool = True,
    running: Sequence[Forward] = (),
) -> tuple[Finding, ...]:
    """As far as the rules can be read, which takes root. Nothing for a file that cannot be used.
    `with_programs`: whether the gateway can have eBPF programs, as far as is known. `running`: the forwards of a
    running gateway, which may not be in the file."""
    try:
        policy = compile(loaded, here)
    except ConfigError:
        return ()
    gateway = loaded.config.gateway
    sides = resolve(gateway, here)
    if sides.outside is None:
        return ()
    once = with_programs and gateway.plane != "tun" and _release() >= LINKS
    names = {each.name for each in policy.forwards}
    forwards = (*policy.forwards, *(each for each in running if each.name not in names))
    published = bool(forwards or policy.triggers)
    networks = tuple(map(str, policy.inside))
    answers = not set(policy.public).isdisjoint(here.own)
    where = Where(sides.outside, tuple(sides.inside), networks, once, once, published, answers)
    return findings(read_tables(), where, forwards, interface_to)


def _release() -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", platform.release())[:2])
