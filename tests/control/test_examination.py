"""The host is examined by a process of its own, for whoever asks."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipmasq.control import examination
from ipmasq.control.client import Client
from ipmasq.control.protocol import Kind, RequestError, Row
from ipmasq.gateway.firewall.finding import Finding
from tests.conformance import packets
from tests.control.refusals import refusal
from tests.control.running import IN1, OUT1, Running, running

FINDING = {"subject": "routes", "what": "no way out", "effect": "none leaves"}


@contextmanager
def examined_by(tmp_path: Path, code: str) -> Iterator[tuple[Running, Client]]:
    """A gateway whose doctor is this Python program; each of its runs appends a line to `runs`."""
    counted = f"open({str(tmp_path / 'runs')!r}, 'a').write('once\\n')\n{code}"
    command = [sys.executable, "-c", counted]
    with (
        running(tmp_path / "control.sock", doctor=command) as gateway,
        Client(gateway.path) as client,
    ):
        yield gateway, client


def asked(client: Client) -> Row:
    return next(client.rows("doctor"))


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


SAYS = f"import json; print(json.dumps([{FINDING!r}, {{'left_out': 'the moon'}}]))"


@pytest.mark.parametrize("code", [0, 1])
def test_findings_and_what_was_left_out_are_told(tmp_path: Path, code: int):
    with examined_by(tmp_path, f"{SAYS}; raise SystemExit({code})") as (_, client):
        found = asked(client)
    assert found["findings"] == [FINDING]
    assert found["left_out"] == ["the moon"]
    assert abs(found["examined"] - time.time()) < 60


def test_who_asks_again_at_once_gets_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with examined_by(tmp_path, SAYS) as (_, client):
        assert asked(client) == asked(client)
        assert runs(tmp_path) == 1
        monkeypatch.setattr(examination, "FRESH", 0.0)
        asked(client)
        assert runs(tmp_path) == 2


def test_a_result_from_before_the_firewall_changed_is_not_given(tmp_path: Path):
    with examined_by(tmp_path, SAYS) as (gateway, client):
        asked(client)
        gateway.gateway.firewall.found = (Finding("nft inet filter", "drops", "add: ..."),)
        asked(client)
        asked(client)
        assert runs(tmp_path) == 2


def test_who_waits_while_the_firewall_changes_gets_a_new_result(tmp_path: Path):
    go = tmp_path / "go"
    code = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n{SAYS}"
    with examined_by(tmp_path, code) as (gateway, client):
        thread = threading.Thread(target=asked, args=(client,))
        thread.start()
        while not (tmp_path / "runs").exists():
            time.sleep(0.01)
        gateway.gateway.firewall.found = (Finding("nft inet filter", "drops", "add: ..."),)
        go.touch()
        thread.join(30)
        assert runs(tmp_path) == 2


def test_those_who_ask_at_the_same_time_share_one(tmp_path: Path):
    go = tmp_path / "go"
    code = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n{SAYS}"
    with examined_by(tmp_path, code) as (gateway, _):
        found: list[Row] = []

        def ask() -> None:
            with Client(gateway.path) as client:
                found.append(asked(client))

        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        while gateway.control.server.clients < 6 or not (tmp_path / "runs").exists():
            time.sleep(0.01)
        assert packets.read(gateway.send(packets.udp(IN1, 5000, OUT1, 53)))  # goes on meanwhile
        assert found == []
        go.touch()
        for thread in threads:
            thread.join(30)
    assert len(found) == 5
    assert runs(tmp_path) == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("print('no list')", "no list of findings"),
        ("print(7)", "no list of findings"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
def test_an_examination_that_fails_says_so(tmp_path: Path, code: str, said: str):
    with examined_by(tmp_path, code) as (_, client):
        error = refusal(client, "doctor")
    assert error.kind is Kind.REFUSED
    assert said in error.message


def test_one_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(examination, "PATIENCE", 0.2)
    with examined_by(tmp_path, "import time; time.sleep(600)") as (gateway, client):
        assert "did not end within" in refusal(client, "doctor").message
        assert not gateway.control.examination.is_running


def test_a_gateway_that_ends_leaves_none_behind(tmp_path: Path):
    with running(
        tmp_path / "control.sock", doctor=[sys.executable, "-c", "import time; time.sleep(600)"]
    ) as gateway:
        gateway.do(gateway.control.examination.want)
        process = gateway.control.examination._process
        assert process is not None
    assert process.returncode == -9


def test_without_a_doctor_it_says_where_there_is_one(gateway: Running, client: Client):
    assert "ipmasq doctor" in refusal(client, "doctor").message


def test_a_program_that_is_missing_is_named(tmp_path: Path):
    with (
        running(tmp_path / "control.sock", doctor=["/nowhere/ipmasq"]) as gateway,
        Client(gateway.path) as client,
        pytest.raises(RequestError, match="cannot run /nowhere/ipmasq"),
    ):
        asked(client)
