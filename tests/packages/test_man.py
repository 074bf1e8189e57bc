"""The manual pages are made of docs/, and render without warnings."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ipmasq.main.commands import COMMANDS
from tools import man


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("man")
    man.main(made)
    return made


def rendered(path: Path) -> str:
    """The page as plain text of 80 columns; a warning of groff is an error here."""
    said = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    command = ["man", "--warnings", "--local-file", str(path)]
    done = subprocess.run(command, env=said, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return re.sub(".\b", "", done.stdout)


@pytest.mark.parametrize("page", man.PAGES, ids=lambda page: page.name)
def test_a_page_renders_without_warnings_in_80_columns(pages: Path, page: man.Page):
    text = rendered(pages / page.name)
    headings = re.findall(r"(?m)^[A-Z].*$", text)
    assert headings[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert f"{page.title} " in text
    assert max(map(len, text.splitlines())) <= 80
    subprocess.run(["mandoc", "-Tlint", "-Werror", str(pages / page.name)], check=True)


def test_every_command_is_in_the_manual(pages: Path):
    text = " ".join(rendered(pages / "ipmasq.8").split())
    assert [name for name in COMMANDS if f"ipmasq {name}" not in text] == []


def test_every_setting_is_in_the_manual(pages: Path):
    text = rendered(pages / "ipmasq.toml.5")
    source = (man.ROOT / "docs" / "configuration.md").read_text("utf-8")
    settings = re.findall(r"(?m)^\| `(\w+)` \|", source)
    assert len(settings) > 30
    assert [name for name in settings if not re.search(rf"(?m)^ +{name}\b", text)] == []
