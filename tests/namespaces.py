"""How tests run a program in a network namespace."""

from __future__ import annotations

from pathlib import Path

NETNS = Path("/run/netns")


def within(namespace: str, *command: str) -> list[str]:
    """The command line that runs `command` in a named network namespace; the process keeps its id.

    `ip netns exec` and `ip -n` do more: they mount a new /sys. That fails where the root directory is no mount
    point, as in a plain chroot.
    """
    return ["nsenter", f"--net={NETNS / namespace}", *command]
