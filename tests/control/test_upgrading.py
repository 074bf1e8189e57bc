"""Another process takes over if somebody asks for it, and this one can be replaced."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ipmasq.control.client import Client
from ipmasq.control.protocol import Kind
from tests.control.refusals import refusal
from tests.control.running import running
from tests.gateway.test_upgrade import READY


def test_the_answer_names_the_process_that_takes_over(tmp_path: Path):
    command = [sys.executable, "-c", READY]
    with (
        running(tmp_path / "socket", successor=command) as gateway,
        Client(gateway.path) as client,
    ):
        process = client.ask("upgrade")["process"]
        assert os.getpgid(process)
        assert gateway.upgrade is not None
        assert gateway.upgrade.successor == process
        gateway.upgrade.end()


def test_a_successor_that_fails_is_told_to_whoever_has_asked(tmp_path: Path):
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with (
        running(tmp_path / "socket", successor=command) as gateway,
        Client(gateway.path) as client,
    ):
        error = refusal(client, "upgrade")
        assert (error.kind, "exit code 3, and this one goes on" in error.message) == (
            Kind.REFUSED,
            True,
        )
        assert client.ask("timeouts_set", udp=33)["udp"] == 33


@pytest.mark.parametrize(
    ("successor", "leaves", "process", "text"),
    [
        (None, True, 2, "does not know how it was started"),
        (["true"], False, 2, "keep = false"),
        (["true"], True, 1, "process 1 of a container"),
        (["/nowhere/ipmasq"], True, 2, "no process can be started: No such file"),
    ],
)
def test_where_it_cannot_be_replaced_the_reason_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    successor: list[str] | None,
    leaves: bool,
    process: int,
    text: str,
):
    with (
        running(tmp_path / "socket", successor=successor) as gateway,
        Client(gateway.path) as client,
    ):
        gateway.gateway.leaves_state = leaves
        monkeypatch.setattr(os, "getpid", lambda: process)
        assert text in refusal(client, "upgrade").message
