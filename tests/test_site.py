"""The documentation site is built without a warning, and has a page for everything that is public."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from ipmasq.main.cli import app
from tools.site_commands import helps

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. It fails on any warning: a link that leads nowhere, a page that no menu has, unknown markup."""
    made = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs"]
    command += ["-d", str(made / "cache"), ".", str(made / "html")]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made / "html"


def test_its_entrance_leads_to_the_first_page(site: Path):
    entrance = (site / "index.html").read_text(encoding="utf-8")
    assert "url=docs/index.html" in entrance
    assert "IP-masquerading gateway" in (site / "docs" / "index.html").read_text(encoding="utf-8")


def test_every_command_is_there_with_its_help(site: Path):
    page = (site / "docs" / "command-help.html").read_text(encoding="utf-8")
    names = [name for name, _ in helps(get_command(app))]
    assert "ipmasq forward add" in names
    assert [name for name in names if f'id="{name.replace(" ", "-")}"' not in page] == []


def test_every_method_of_a_helper_is_there(site: Path):
    from ipmasq.core.helper import Helper, HelperContext

    page = (site / "docs" / "helper-api.html").read_text(encoding="utf-8")
    public = [
        f"ipmasq.core.helper.{each.__name__}.{name}"
        for each in (Helper, HelperContext)
        for name in vars(each)
        if not name.startswith("_")
    ]
    assert len(public) > 10
    assert [name for name in public if f'id="{name}"' not in page] == []


def test_every_public_name_of_the_test_kit_is_there(site: Path):
    from ipmasq import testing

    page = (site / "docs" / "helper-testing.html").read_text(encoding="utf-8")
    public = [
        f"{value.__module__}.{name}"
        for name, value in vars(testing).items()
        if callable(value) and not name.startswith("_")
    ]
    assert len(public) > 8
    assert [name for name in public if f'id="{name}"' not in page] == []


def test_a_page_loads_nothing_from_elsewhere(site: Path):
    page = (site / "docs" / "index.html").read_text(encoding="utf-8")
    assert 'src="http' not in page
    assert 'rel="stylesheet" type="text/css" href="http' not in page
