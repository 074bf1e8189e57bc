"""Writes the project of a new helper from the templates beside this file."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

NAME = re.compile(r"[a-z][a-z0-9_-]*")

FILES = {
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml.in",
    "src/ipmasq_$module/__init__.py": "package.py.in",
    "src/ipmasq_$module/helper.py": "helper.py.in",
    "tests/test_$module.py": "test.py.in",
    "tests/$module.talk": "playbook.talk.in",
}
"""The files of a project, each with its template."""


class NameTakenError(Exception):
    """The directory has files already."""


def write(name: str, target: Path) -> list[Path]:
    """Write a project for a helper of this name and return its files. Raises ValueError if it is no name of a
    helper, and NameTakenError, in which case nothing is written."""
    if not NAME.fullmatch(name) or name.endswith(("-", "_")):
        raise ValueError(
            f'"{name}" is no name of a helper: write one lower-case word, such as courier'
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise NameTakenError(f"{target} exists and is not empty")
    words = _words(name)
    made = []
    for path, template in FILES.items():
        file = target / Template(path).substitute(words)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_filled(template, words), encoding="utf-8")
        made.append(file)
    return made


def _words(name: str) -> dict[str, str]:
    """Return what stands in the templates for the name in its various forms."""
    return {
        "name": name,
        "module": name.replace("-", "_"),
        "class_name": "".join(part.capitalize() for part in re.split(r"[-_]", name)),
        "version": version("ipmasq"),
    }


def _filled(template: str, words: dict[str, str]) -> str:
    source = files("ipmasq.main.authoring") / "template" / template
    return Template(source.read_text(encoding="utf-8")).substitute(words)
