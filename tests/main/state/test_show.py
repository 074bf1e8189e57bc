"""`ipmasq state show`: of a gateway that runs, of one that has ended, and of a file that was refused."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from math import inf, nan
from pathlib import Path

import pytest

from ipmasq.continuity.sqlite import LAYOUT, SqliteStore
from ipmasq.core.records import VERSION
from ipmasq.main.state.showing import _moment
from tests.continuity.states import ABOUT, PASSWORD, WALL, batches, write
from tests.control.running import running
from tests.front.conftest import Ipmasq


def test_all_that_a_state_holds_is_listed_and_nothing_of_what_connections_carry(
    ipmasq: Ipmasq, config: Path, state: Path
) -> None:
    write(state)
    done = ipmasq("state", "show", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    facts = {line[:18].strip(): line[19:] for line in done.stdout.splitlines()}
    assert facts["file"] == str(state)
    assert facts["format"] == f"tables {LAYOUT}, records {VERSION}"
    assert facts["written"].startswith("2027-01-1")
    assert facts["written by"] == "ipmasq 1.2.3"
    assert (facts["flows"], facts["mappings"]) == ("1 tcp, 2 udp", "4")
    assert (facts["expected flows"], facts["inspected"]) == ("1 ftp", "1 ftp")
    changed = done.stdout.partition("changed by hand")[2].split("\n")
    assert [line.strip() for line in changed if line] == [
        "forward web was added: tcp 80-81 to 10.0.0.2:8080-8081",
        "forward old was removed",
        "helper finger was loaded from /root/finger.py",
        "helper tftp was unloaded",
        "idle times were set",
    ]
    assert PASSWORD[:-2] in state.read_bytes()
    assert "my-secret" not in done.stdout


def test_programs_are_told_the_same(ipmasq: Ipmasq, config: Path, state: Path) -> None:
    write(state)
    said = json.loads(ipmasq("state", "show", "--json", "-c", config).stdout)
    assert said["file"] == str(state)
    assert (said["trouble"], said["written"]) == ("", WALL + 10)
    assert said["flows"] == {"tcp": 1, "udp": 2}
    assert said["inspected"] == said["expected"] == {"ftp": 1}
    assert len(said["changed"]) == 5
    assert "my-secret" not in json.dumps(said)


def test_the_file_of_a_gateway_that_runs_is_shown_while_it_has_it_open(
    ipmasq: Ipmasq, tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path / "elsewhere.db", ABOUT)
    for each in batches():
        store.append(each)
    with running(tmp_path / "control.sock") as gateway:
        usual, kept = gateway.gateway.status(), {"path": str(tmp_path / "elsewhere.db")}
        for state, code, said in (
            ({**kept, "kept": True}, 0, "1 tcp, 2 udp"),
            ({**kept, "kept": False, "trouble": "no space"}, 1, "at present: no space"),
            ({}, 1, "the gateway keeps no state: state.keep is false"),
        ):
            gateway.gateway.status = lambda state=state: {**usual, "state": state}  # type: ignore[method-assign,misc]
            done = ipmasq("state", "show")
            assert done.returncode == code, done.stderr
            assert said in done.stdout + done.stderr
    store.append(b"it can still be written")
    store.close()


def test_what_is_wrong_with_a_refused_state_is_said_in_one_sentence(
    ipmasq: Ipmasq, tmp_path: Path
) -> None:
    path = tmp_path / "state.db.refused"
    first, second = batches()
    write(path, first, second[:-1])
    done = ipmasq("state", "show", path)
    assert done.returncode == 1
    assert done.stderr == f"ipmasq: {path}: a batch is damaged: its checksum is wrong\n"
    assert "1 tcp" in done.stdout
    assert "2, 1 of them damaged" in done.stdout
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA user_version = 77")
    done = ipmasq("state", "show", path)
    assert "its tables are of version 77" in done.stderr
    assert json.loads(ipmasq("state", "show", "--json", path).stdout)["tables"] == 77


def test_of_a_refused_state_with_a_sound_form_the_log_says_why(
    ipmasq: Ipmasq, tmp_path: Path
) -> None:
    done = ipmasq("state", "show", write(tmp_path / "state.db.refused"))
    assert done.returncode == 0
    assert "the log of the gateway that refused it says why" in done.stdout


@pytest.mark.parametrize("text", ["", "no database " * 99])
def test_what_is_no_state_is_said_to_be_none(ipmasq: Ipmasq, tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    done = ipmasq("state", "show", path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert path.read_text() == text
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_missing_file_is_named(ipmasq: Ipmasq, config: Path, state: Path) -> None:
    for wanted in ("-c", config), (state.with_name("other"),):
        done = ipmasq("state", "show", *wanted)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"ipmasq: there is no state {state.parent}/")


def test_a_configuration_that_keeps_no_state_is_named(ipmasq: Ipmasq, config: Path) -> None:
    config.write_text(config.read_text() + "keep = false\n")
    done = ipmasq("state", "show", "-c", config)
    assert done.returncode == 1
    assert f"a gateway with the configuration {config} keeps no state" in done.stderr
    config.write_text("[gateway]\ninside = 5\n")
    assert ipmasq("state", "show", "-c", config).returncode == 3


@pytest.mark.parametrize("wall", [inf, nan, 1e18])
def test_a_moment_that_cannot_be_is_said_as_it_is(wall: float) -> None:
    assert _moment(wall) == f"{wall:g} seconds after 1970, which cannot be"
