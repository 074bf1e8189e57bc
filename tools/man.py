"""Make the manual pages of docs/ in a directory: `python tools/man.py DIRECTORY`. Needs pandoc.

A page has the text of one file of docs/; what a manual page has besides (its one line, how it is called) is here.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FILTER = ROOT / "tools" / "man.lua"


class Page(NamedTuple):
    title: str
    section: int
    source: str
    what: str
    synopsis: str
    also: str

    @property
    def name(self) -> str:
        return f"{self.title}.{self.section}"


PAGES = (
    Page(
        "ipmasq",
        8,
        "command-line.md",
        "IP-masquerading gateway with helpers for protocols that carry addresses",
        "ipmasq COMMAND [OPTION...] [ARGUMENT...]",
        "ipmasq.toml(5), nft(8), conntrack(8), ip(8)",
    ),
    Page(
        "ipmasq.toml",
        5,
        "configuration.md",
        "configuration of the IP-masquerading gateway ipmasq",
        "/etc/ipmasq/gateway.toml",
        "ipmasq(8), sysctl.d(5)",
    ),
)


def write(page: Page, directory: Path, day: str) -> Path:
    """Write one page; `day` is its date. Raises CalledProcessError, or FileNotFoundError without pandoc."""
    made = directory / page.name
    facts = {
        "title": page.title,
        "section": str(page.section),
        "what": page.what,
        "synopsis": page.synopsis,
        "also": page.also,
        "date": day,
        "footer": f"ipmasq {version('ipmasq')}",
        "header": "ipmasq",
    }
    said = [f"--metadata={name}={value}" for name, value in facts.items()]
    source = str(ROOT / "docs" / page.source)
    command = ["pandoc", "--standalone", "--from=gfm", "--to=man", f"--lua-filter={FILTER}"]
    command += ["--metadata=hyphenate:false"]
    subprocess.run([*command, *said, "-o", str(made), source], check=True)
    return made


def main(directory: Path) -> list[Path]:
    """Write all pages into a directory, which is made if necessary. Return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return [write(page, directory, day) for page in PAGES]


if __name__ == "__main__":
    print(*main(Path(sys.argv[1])), sep="\n")
