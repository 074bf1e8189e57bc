"""Asks every subject, and puts right what can safely be put right."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from ipmasq.doctor import (
    clock,
    configuration,
    firewall,
    forwarding,
    group,
    interfaces,
    kernel,
    kernel_helpers,
    leftovers,
    mtu,
    names,
    offloads,
    programs,
    routes,
    rp_filter,
    state,
    usage,
)
from ipmasq.doctor.finding import Finding, Subject
from ipmasq.doctor.host import Host
from ipmasq.doctor.lasting import DONE

PATIENCE = 30.0
"""Seconds that a command may take."""

ALWAYS: tuple[Subject, ...] = (
    leftovers.find,
    configuration.find,
    kernel.find,
    clock.find,
    group.find,
    state.find,
)
"""Those that need no configuration that can be used."""

SUBJECTS: tuple[Subject, ...] = (
    interfaces.find,
    routes.find,
    rp_filter.find,
    forwarding.find,
    firewall.find,
    kernel_helpers.find,
    programs.find,
    mtu.find,
    offloads.find,
    names.find,
    usage.find,
)


def examine(host: Host) -> tuple[Finding, ...]:
    """Return everything that is wrong, what stops the gateway first."""
    subjects = ALWAYS if host.loaded.problems else (*ALWAYS, *SUBJECTS)
    found = (finding for subject in subjects for finding in subject(host))
    return tuple(dict.fromkeys(found))


def mend(finding: Finding) -> Iterator[str]:
    """Run the commands of a finding that is safe. Yield what was done, one line per command; stop at the first
    that fails."""
    for command in finding.commands:
        try:
            done = subprocess.run(
                ["sh", "-c", command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            yield f"did not end within {PATIENCE:g} s: {command}"
            return
        if done.returncode:
            yield f"failed: {command}: {(done.stderr or done.stdout).strip()}"
            return
        yield f"{DONE}{command}"
