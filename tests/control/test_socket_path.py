"""Each network namespace has a control socket of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipmasq.control.socket_path import USUAL, usual_socket


def test_the_machines_own_network_namespace_has_the_plain_name(tmp_path: Path) -> None:
    (tmp_path / "shown").write_text("")
    assert usual_socket(initial_only=tmp_path / "shown") == USUAL
    assert usual_socket(tmp_path / "no proc") == USUAL


def test_any_other_one_has_its_number_in_the_name(tmp_path: Path) -> None:
    number = os.stat("/proc/self/ns/net").st_ino
    expected = f"/run/ipmasq/control-{number}.sock"
    assert usual_socket(initial_only=tmp_path / "hidden") == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_command_in_a_new_namespace_asks_no_gateway_of_another_one() -> None:
    program = "from ipmasq.control.client import default_socket; print(default_socket())"
    environment = {k: v for k, v in os.environ.items() if k != "IPMASQ_SOCKET"}
    ask = [sys.executable, "-c", program]
    here = subprocess.run(ask, capture_output=True, text=True, check=True, env=environment)
    there = subprocess.run(
        ["unshare", "-n", *ask], capture_output=True, text=True, check=True, env=environment
    )
    assert here.stdout != there.stdout
    assert there.stdout.startswith("/run/ipmasq/control-")
