"""The unit by systemd's own judgement."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ipmasq.main.service import files
from tests.packages.clean import finish

EXPOSED = 2.5
"""The most that `systemd-analyze security` may give (0 is best, 10 worst)."""

EXPOSED_PAGES = 1.3


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    made = tmp_path / files.NAME
    made.write_text(files.unit("/bin/true", "/etc/ipmasq/gateway.toml"))
    return made


def test_the_unit_exposes_little(unit: Path):
    said = finish(["systemd-analyze", "security", "--offline=yes", str(unit)])
    found = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert found
    assert float(found[1]) <= EXPOSED, said


@pytest.fixture
def web(tmp_path: Path) -> Path:
    made = tmp_path / files.WEB
    made.write_text(files.web_unit("/bin/true"))
    return made


def test_the_unit_of_the_pages_exposes_less(web: Path):
    said = finish(["systemd-analyze", "security", "--offline=yes", str(web)])
    found = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert found
    assert float(found[1]) <= EXPOSED_PAGES, said
    assert (
        finish(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(web)]) == ""
    )


def test_systemd_finds_no_mistake_in_the_unit(unit: Path):
    said = finish(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)])
    assert said == ""
