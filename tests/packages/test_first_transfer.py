"""From the package to the first FTP transfer, by the commands of docs/install.md."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from tests.live.conftest import REMOTE, Network
from tests.namespaces import within
from tests.packages.clean import ROOT, Debian

INSTALL = (ROOT / "docs" / "install.md").read_text("utf-8")

LONGEST = 60.0
"""Seconds from the installed package to the transferred file, on a busy machine (3 where nothing else runs)."""


def documented() -> list[str]:
    """Return the commands of the section about Debian, without their comments."""
    section = INSTALL.partition("\n## Debian 12\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", section, re.S)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]


def test_the_documented_commands_lead_to_the_first_transfer(
    debian: Debian, network: Network, server: Path, tmp_path: Path
):
    *commands, transfer = documented()
    assert [each.split()[:2] for each in commands[:2]] == [["apt", "update"], ["apt", "install"]]
    assert transfer.startswith("curl ")
    (server / "file").write_bytes(b"the first one")
    network.ip("gw", f"route add default via {REMOTE}")
    fresh = debian.copy(tmp_path / "fresh")
    with fresh.booted(*within(network.name("gw"))) as machine:
        began = time.monotonic()
        for command in commands[2:]:  # `debian` has done the first two
            machine.run("sh", "-c", f"yes '' | {command}")
        asked = transfer.replace("ftp.example.net", REMOTE).split()
        got = subprocess.run(
            [*within(network.name("in")), *asked], capture_output=True, check=True, timeout=30
        )
        assert got.stdout == b"the first one"
        assert time.monotonic() - began < LONGEST
