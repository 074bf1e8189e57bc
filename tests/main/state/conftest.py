from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.continuity.settings import StateSettings
from ipmasq.gateway.keeping import location_of_state
from tests.front.conftest import ipmasq

__all__ = ["ipmasq"]

CONFIG = """
[gateway]
inside = "10.0.0.0/24"
outside = "lo"

[state]
directory = "{directory}"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of a gateway whose state is in a directory of the test."""
    (tmp_path / "run").mkdir()
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(directory=tmp_path / "run"))
    return path


@pytest.fixture
def state(config: Path) -> Path:
    """Where this gateway would have its state; nothing is there."""
    directory = config.with_name("run")
    return location_of_state(StateSettings(directory=directory), directory).path
