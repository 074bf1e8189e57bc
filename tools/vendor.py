"""Copies what ipmasq imports, as it is installed in this environment, for a package that brings it along."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

UNWANTED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""What describes the installation that was copied from, and not the copy (PEP 376, PEP 610)."""

LICENCE_FILES = ("LICENSE", "LICENCE", "COPYING")
"""How the names of files with a licence begin."""

COMMON = {"Apache License\n": "Apache-2.0", "GNU GENERAL PUBLIC LICENSE\n": "GPL-2"}
"""Titles of licences whose texts every Debian system has (Debian Policy 12.5), and their files."""


def needed_by(name: str) -> list[Distribution]:
    """Return the installed distributions that one needs, directly or not, itself left out, by name."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        for requirement in _requirements(distribution(waiting.pop())):
            key = canonicalize_name(requirement.name)
            if key not in found:
                found[key] = distribution(key)
                waiting.append(key)
    return [found[key] for key in sorted(found)]


def copy(what: Distribution, directory: Path) -> None:
    """Copy the distribution's importable files and its metadata; not its scripts, nor compiled Python."""
    for file in what.files or ():
        if ".." in file.parts or "__pycache__" in file.parts or file.name in UNWANTED:
            continue
        target = directory / file
        target.parent.mkdir(parents=True, exist_ok=True)
        content = Path(str(what.locate_file(file))).read_bytes()
        if content.startswith(b"#!") and file.suffix == ".py":
            content = content.partition(b"\n")[2]  # a copy is imported, never run
        target.write_bytes(content)


def paragraph(what: Distribution) -> str:
    """Return the distribution's paragraph of debian/copyright, with the text of its licence."""
    name = canonicalize_name(what.metadata["Name"])
    texts = [text for text in _licences(what) if text.strip()]
    if not texts:
        raise ValueError(f"{name} comes without the text of its licence")
    lines = "\n\n".join(texts).splitlines()
    holders = dict.fromkeys(line.strip(" *") for line in lines if "opyright (" in line)
    folders = sorted({file.parts[0] for file in what.files or () if file.parts[0] != ".."})
    return "\n".join(
        [
            "Files: " + "\n ".join(f"vendor/{folder}*" for folder in folders),
            "Copyright: " + "\n ".join(holders or (f"the authors of {name}",)),
            f"License: {name}-licence",
            *(f" {line.strip()}" if line.strip() else " ." for line in lines),
        ]
    )


def _requirements(what: Distribution) -> Iterator[Requirement]:
    for text in what.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _licences(what: Distribution) -> Iterator[str]:
    for file in what.files or ():
        if file.parts[0].endswith(".dist-info") and file.name.startswith(LICENCE_FILES):
            text = Path(str(what.locate_file(file))).read_text(encoding="utf-8")
            common = next((name for title, name in COMMON.items() if title in text), None)
            yield f"The text is in /usr/share/common-licenses/{common}." if common else text
