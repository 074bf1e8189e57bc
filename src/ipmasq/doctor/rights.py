"""What this process may not examine, which the report names, so that silence does not look like health."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

STATUS = Path("/proc/self/status")
NET_ADMIN, SYS_ADMIN = 12, 21
"""Numbers of <linux/capability.h>."""
TOOLS = "/usr/sbin:/sbin:/usr/bin:/bin"


def rights(line: str) -> int:
    """Return capabilities as bits: `CapEff`, those of this process, or `CapBnd`, those that root may have here."""
    lines = dict(each.split(":\t") for each in STATUS.read_text().splitlines() if ":\t" in each)
    return int(lines[line], 16)


def left_out() -> tuple[str, ...]:
    """Return what is not examined, and for lack of what, one phrase each."""
    return tuple(_left_out(rights("CapEff"), shutil.which("ethtool", path=TOOLS) is not None))


def _left_out(known: int, has_ethtool: bool) -> Iterator[str]:
    if not known >> NET_ADMIN & 1:
        yield "the rules of the host's firewall (this needs root or CAP_NET_ADMIN)"
    if not known >> SYS_ADMIN & 1:
        yield "TCX programs of other software at the interfaces (this needs root or CAP_SYS_ADMIN)"
    if not has_ethtool:
        yield "offloads of the interfaces (this needs the program ethtool)"
