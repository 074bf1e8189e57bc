"""`ipmasq upgrade` says which process has taken over, or why none has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ipmasq.front import upgrade
from tests.control.running import running
from tests.front.conftest import Ipmasq
from tests.gateway.test_upgrade import READY


def test_a_process_that_was_ready_and_does_not_answer_is_told(
    tmp_path: Path, ipmasq: Ipmasq, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(upgrade, "PATIENCE", 0.1)
    command = [sys.executable, "-c", READY]
    with running(tmp_path / "control.sock", successor=command) as gateway:
        done = ipmasq("upgrade")
        assert gateway.upgrade is not None
        process = gateway.upgrade.successor
        gateway.upgrade.end()
    assert done.returncode == 1
    assert f"process {process} was ready and does not answer" in done.stderr


def test_a_refusal_is_shown(tmp_path: Path, ipmasq: Ipmasq):
    with running(tmp_path / "control.sock"):
        done = ipmasq("upgrade")
    assert done.returncode == 1
    assert "does not know how it was started" in done.stderr


def test_without_a_gateway_there_is_nothing_to_upgrade(ipmasq: Ipmasq):
    assert ipmasq("upgrade").returncode == 4
