"""Reads the rule sets of this host (this network namespace) with the tools that are installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from ipmasq.gateway.firewall import iptables, nft
from ipmasq.gateway.firewall.chains import Table

LEGACY = Path("/proc/self/net/ip_tables_names")
"""The tables of iptables-legacy in the kernel."""

PATIENCE = 10.0
"""Seconds that a tool may take."""

DIRECTORIES = "/usr/sbin:/sbin:/usr/bin:/bin"

SAVE = "iptables-nft-save"


def read_tables() -> list[Table]:
    """Return the tables that can be read: a missing tool, a lack of permission or an unknown format gives no
    table. Waits for the tools."""
    tables = [*_nft(), *_iptables()]
    if has_legacy():
        tables += _saved("iptables-legacy", "iptables-legacy-save", "iptables-save")
    return tables


def listing() -> str:
    """Return the rules of all tools as these list them: of nftables with handles, of iptables as commands."""
    legacy = ("iptables-legacy-save",) if has_legacy() else ()
    commands = (("nft", "-a", "list", "ruleset"), (SAVE,), *([legacy] if legacy else []))
    return "\n".join(_run(*command) for command in commands)


def has_legacy() -> bool:
    """Return whether iptables-legacy has any table. Its changes are not notified."""
    try:
        return bool(LEGACY.read_text().split())
    except OSError:
        return False


def _nft() -> list[Table]:
    """Return the tables of nft, with those of iptables whose rules nft understands completely."""
    try:
        said = json.loads(_run("nft", "-j", "list", "ruleset") or "{}")
        found = nft.tables(said, nft.texts(_run("nft", "-a", "list", "ruleset")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [table for table in found if not _is_iptables(table)]


def _is_iptables(table: Table) -> bool:
    hooks = {*table.forward, *table.postrouting, *table.input}
    known = {hook for _, hook in iptables.HOOKS}
    is_named_so = table.name in ("ip filter", "ip nat") and hooks <= known
    return is_named_so and _tool(SAVE) is not None


def _iptables() -> list[Table]:
    return _saved("iptables", SAVE)


def _saved(kind: str, *tools: str) -> list[Table]:
    text = next(filter(None, map(_run, tools)), "")
    try:
        return iptables.tables(text, kind)
    except (ValueError, RuntimeError, StopIteration):
        return []


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
            errors="replace",  # comments can be of any bytes
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _tool(name: str) -> str | None:
    return shutil.which(name, path=DIRECTORIES)
