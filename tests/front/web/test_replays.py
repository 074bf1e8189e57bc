"""A capture that a browser sends becomes a page, or a sentence that says why not."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipmasq.front.web import guard, replays, serving, slots
from tests.control.running import Running
from tests.front.web.asking import BEARER, ask
from tests.front.web.serving import TOKEN, Served, served
from tests.replay.cases import hostile
from tests.replay.tape import active_ftp

CAPTURE = active_ftp().buffer.getvalue()


@pytest.fixture
def pages(gateway: Running) -> Iterator[Served]:
    with served(gateway.path, token=TOKEN) as pages:
        yield pages


def send(pages: Served, capture: bytes, name: str = "in.pcapng") -> tuple[int, dict[str, Any]]:
    answer = ask(pages, f"/api/replay?name={name}", "POST", capture, **BEARER)
    return answer.status, json.loads(answer.read())


def page_of(pages: Served, path: str) -> str:
    answer = ask(pages, path, **BEARER)
    assert answer.status == 200
    return gzip.decompress(answer.read()).decode()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are to vanish are in a directory of the test."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def left_behind() -> list[Path]:
    return list(Path(tempfile.gettempdir()).iterdir())


def test_a_capture_becomes_a_ladder_diagram_by_the_gateways_configuration(pages: Served):
    status, said = send(pages, CAPTURE)
    assert (status, said["notice"]) == (200, "")
    page = page_of(pages, said["page"])
    assert ">in.pcapng<" in page
    assert "203,0,113,1" in page
    assert "Data connection opened" in page
    assert left_behind() == []


def test_a_page_can_reach_nothing_and_be_framed_by_ours_alone(pages: Served):
    _, said = send(pages, hostile().buffer.getvalue(), "%3Cscript%3E.pcap")
    answer = ask(pages, said["page"], **BEARER)
    policy = answer.getheader("content-security-policy") or ""
    assert "sandbox allow-scripts;" in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "<script>document" not in gzip.decompress(answer.read()).decode()
    assert ask(pages, said["page"]).status == 401
    assert ask(pages, said["page"], sec_fetch_site="cross-site", **BEARER).status == 403


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "-o", "%00", "a/b", "", "x" * 300])
def test_a_name_is_only_a_title(pages: Served, name: str):
    status, said = send(pages, CAPTURE, name)
    assert status == 200
    assert "Data connection opened" in page_of(pages, said["page"])


@pytest.mark.parametrize(
    ("capture", "sentence"),
    [(b"", "the capture"), (b"no capture at all", "the capture"), (CAPTURE[:40], "the capture")],
)
def test_what_is_no_capture_gives_a_sentence(pages: Served, capture: bytes, sentence: str):
    status, said = send(pages, capture)
    assert status == 422
    assert sentence in said["error"]["message"]
    assert "Traceback" not in said["error"]["message"]
    assert tempfile.gettempdir() not in said["error"]["message"]


def test_a_damaged_capture_is_shown_up_to_its_damage(pages: Served):
    status, said = send(pages, CAPTURE[: len(CAPTURE) // 2])
    assert status == 200
    assert said["notice"].startswith("the capture was read up to its damage")
    assert "read up to its damage" in page_of(pages, said["page"])


def test_a_configuration_that_cannot_be_used_here_gives_a_sentence(
    gateway: Running, pages: Served, monkeypatch: pytest.MonkeyPatch
):
    text = f'{gateway.gateway.policy_text()}[helper.mine]\nfile = "/nowhere/mine.py"\n'
    monkeypatch.setattr(gateway.gateway, "policy_text", lambda: text)
    status, said = send(pages, CAPTURE)
    assert status == 422
    assert "/nowhere/mine.py" in said["error"]["message"]
    assert "the gateway's configuration" in said["error"]["message"]


def test_an_installation_that_cannot_replay_says_so(pages: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python3")
    status, said = send(pages, CAPTURE)
    assert status == 500
    assert "No such file or directory" in said["error"]["message"]


def test_a_gateway_that_is_gone_gives_a_sentence(tmp_path: Path):
    with served(str(tmp_path / "gone.sock"), token=TOKEN) as pages:
        status, said = send(pages, CAPTURE)
    assert status == 502
    assert "gone.sock" in said["error"]["message"]


def test_one_that_is_too_large_is_refused_before_it_is_read(pages: Served):
    length = str(guard.LARGEST_CAPTURE + 1)
    answer = ask(pages, "/api/replay", "POST", None, content_length=length, **BEARER)
    assert answer.status == 413
    assert ask(pages, "/login", "POST", None, content_length="17000", **BEARER).status == 413


def test_one_that_needs_too_long_or_too_much_is_ended(
    pages: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replays, "PATIENCE", 0.05)
    status, said = send(pages, CAPTURE)
    assert (status, "took longer than" in said["error"]["message"]) == (422, True)
    monkeypatch.setattr(replays, "PATIENCE", 60.0)
    monkeypatch.setattr(replays, "MEMORY", 1 << 20)
    status, said = send(pages, CAPTURE)
    assert status == 422
    assert left_behind() == []


def test_the_latest_pages_are_kept_and_no_more(pages: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replays, "KEPT", 1)
    first = send(pages, CAPTURE)[1]["page"]
    second = send(pages, CAPTURE)[1]["page"]
    assert ask(pages, first, **BEARER).status == 404
    assert page_of(pages, second)


def test_another_page_can_send_no_capture(pages: Served):
    assert ask(pages, "/api/replay", "POST", CAPTURE).status == 403
    said = {"origin": "http://evil.example", **BEARER}
    assert ask(pages, "/api/replay", "POST", CAPTURE, **said).status == 403
    assert ask(pages, "/api/replay", "POST", CAPTURE, origin=pages.address).status == 401


def head(length: int) -> bytes:
    text = f"POST /api/replay HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    return f"{text}Content-Length: {length}\r\n\r\n".encode()


def test_so_many_at_a_time_and_no_more(pages: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "MOST", 1)
    with socket.create_connection(("127.0.0.1", pages.port), 30) as link:
        link.sendall(head(len(CAPTURE)) + CAPTURE[:100])
        wait("the upload", lambda: bool(left_behind()))
        status, said = send(pages, CAPTURE)
        assert status == 503
        assert "try again" in said["error"]["message"]
        link.sendall(CAPTURE[100:])
        assert b" 200 " in link.makefile("rb").readline()
    assert send(pages, CAPTURE)[0] == 200


def test_a_slow_one_gives_its_place_to_another(pages: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slots, "MOST_PER_CLIENT", 1)
    monkeypatch.setattr(slots, "GRACE", 0.0)
    with socket.create_connection(("127.0.0.1", pages.port), 30) as link:
        link.sendall(head(len(CAPTURE)) + CAPTURE[:100])
        wait("the upload", lambda: bool(left_behind()))
        assert send(pages, CAPTURE)[0] == 200
        assert b" 503 " in link.makefile("rb").readline()
    assert left_behind() == []


def test_one_that_comes_slowly_is_taken_while_it_comes(
    pages: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(serving, "REQUEST_TIME", 0.3)
    monkeypatch.setattr(serving, "PROGRESS", 1)
    paused = threading.Event()
    with socket.create_connection(("127.0.0.1", pages.port), 30) as link:
        link.sendall(head(len(CAPTURE)))
        for at in range(0, 800, 100):
            link.sendall(CAPTURE[at : at + 100])
            paused.wait(0.1)
        link.sendall(CAPTURE[800:])
        assert b" 200 " in link.makefile("rb").readline()


def test_one_that_stops_coming_is_given_up(pages: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "REQUEST_TIME", 0.3)
    with socket.create_connection(("127.0.0.1", pages.port), 30) as link:
        link.sendall(head(len(CAPTURE)) + CAPTURE[:100])
        while link.recv(4096):
            pass
    assert send(pages, CAPTURE)[0] == 200
    assert left_behind() == []


LONG = """
import asyncio, sys
from pathlib import Path
from ipmasq.front.web import replays
here = Path(sys.argv[1])
sys.executable = str(here / "python3")
asyncio.run(replays._replay(here / "capture", here / "config", here / "page"))
"""


def test_a_replay_has_bounded_time_and_ends_when_its_process_is_killed(tmp_path: Path):
    (tmp_path / "python3").symlink_to(sys.executable)
    program = tmp_path / "ipmasq"
    program.write_text('#!/bin/sh\necho $$ >"$0.new"; mv "$0.new" "$0.pid"; exec sleep 60\n')
    program.chmod(0o755)
    process = subprocess.Popen([sys.executable, "-c", LONG, str(tmp_path)])
    started = tmp_path / "ipmasq.pid"
    wait("the replay", started.exists)
    replay = Path("/proc", started.read_text().strip())
    seconds = f"Max cpu time              {replays.PATIENCE + 1:.0f} "
    wait("its limits", lambda: seconds in (replay / "limits").read_text())
    assert os.getpriority(os.PRIO_PROCESS, int(replay.name)) == replays.NICE
    process.kill()
    process.wait(30)
    wait("its end", lambda: has_ended(replay))


def has_ended(process: Path) -> bool:
    """Return whether this process is gone, or waits to be (proc_pid_stat(5))."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait(what: str, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
