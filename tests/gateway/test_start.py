"""A start reads the configuration once, executes helper files once, and uses what it has checked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ipmasq.gateway.file import File
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.loop import Loop
from tests.front.conftest import Ipmasq, ipmasq

__all__ = ["ipmasq"]

CONFIG = """
[gateway]
inside = ["10.77.0.0/24"]
outside = "lo"
plane = "tun"
[control]
mode = "0660"
[helper.finger]
file = "finger.py"
"""

HELPER = """
from pathlib import Path
from ipmasq.core.helper import Helper

with (Path(__file__).parent / "executed").open("a") as log:
    log.write("x")

class Finger(Helper):
    name, ports = "finger", (79,)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "finger.py").write_text(HELPER)
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    return path


def executed(config: Path) -> int:
    return len((config.parent / "executed").read_text())


def test_a_gateway_that_is_made_has_executed_each_helper_file_once(config: Path):
    file = File(config)
    gateway = Gateway(file, Loop(), config.parent)
    assert file.control.mode == 0o660
    assert "finger" in {helper.name for helper in gateway.engine.helpers()}
    assert executed(config) == 1


def test_what_is_used_is_what_was_checked_although_the_file_has_changed_since(config: Path):
    file = File(config)
    gateway = Gateway(file, Loop(), config.parent)
    config.write_text("nonsense")
    assert file.control.mode == 0o660
    assert [str(network) for network in gateway.engine.policy.inside] == ["10.77.0.0/24"]


def test_what_is_doubtful_is_logged_once(config: Path, monkeypatch: pytest.MonkeyPatch):
    config.write_text(CONFIG + "[timeouts]\nudp = 5\n")
    written: list[str] = []
    handler = logging.Handler(logging.WARNING)
    monkeypatch.setattr(handler, "emit", lambda record: written.append(record.getMessage()))
    # Whatever other tests have left of the logger.
    monkeypatch.setattr(logging.getLogger("ipmasq"), "handlers", [handler])
    monkeypatch.setattr(logging.getLogger("ipmasq"), "propagate", False)
    Gateway(File(config), Loop(), config.parent)
    assert sum("RFC 4787 REQ-5" in line for line in written) == 1


def test_check_executes_each_helper_file_once(ipmasq: Ipmasq, config: Path):
    assert ipmasq("check", config).returncode == 0
    assert executed(config) == 1
