"""The rule sets of this host (this network namespace), by the tools that are there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from ipmasq.gateway.firewall import iptables, nft
from ipmasq.gateway.firewall.chains import Table

LEGACY = Path("/proc/self/net/ip_tables_names")
"""The tables that the kernel has for the older iptables."""

PATIENCE = 10.0
"""Seconds that a tool may take."""

DIRECTORIES = "/usr/sbin:/sbin:/usr/bin:/bin"

SAVE = "iptables-nft-save"


def read_tables() -> list[Table]:
    """As far as they can be read: no tool, no permission or an answer that is not understood is no table.
    Waits for the tools."""
    tables = [*_nft(), *_iptables()]
    if has_legacy():
        tables += _saved("iptables-legacy", "iptables-legacy-save", "iptables-save")
    return tables


def has_legacy() -> bool:
    """Whether the older iptables has a filter table. Nobody is told when it changes."""
    try:
        return "filter" in LEGACY.read_text().split()
    except OSError:
        return False


def _nft() -> list[Table]:
    """Of tables that iptables has made, those of whose rules nft knows all are among them."""
    try:
        found = nft.tables(json.loads(_run("nft", "-j", "list", "ruleset") or "{}"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [table for table in found if not _is_iptables(table)]


def _is_iptables(table: Table) -> bool:
    return table.name == "ip filter" and "FORWARD" in table.forward and _tool(SAVE) is not None


def _iptables() -> list[Table]:
    return _saved("iptables", SAVE)


def _saved(kind: str, *tools: str) -> list[Table]:
    text = next(filter(None, (_run(tool, "-t", "filter") for tool in tools)), "")
    try:
        found = iptables.table(text, kind)
    except (ValueError, IndexError, StopIteration):
        return []
    return [found] if found is not None else []


def _run(*command: str) -> str:
    tool = _tool(command[0])
    if tool is None:
        return ""
    try:
        done = subprocess.run(
            [tool, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _tool(name: str) -> str | None:
    return shutil.which(name, path=DIRECTORIES)
