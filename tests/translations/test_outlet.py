"""The queue to a target, and what happens when the target cannot be written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ipmasq.translations import outlet, targets
from ipmasq.translations.outlet import Outlet
from ipmasq.translations.targets import DatagramTarget, FileTarget
from tests.translations.running import receiver

LIMIT = 10.0


def marker(count: int) -> bytes:
    return b"lost %d\n" % count


def until(condition, outlet: Outlet) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, (outlet.waiting, outlet.written, outlet.trouble)
        time.sleep(0.001)


def test_all_lines_are_written_in_their_order_also_those_put_in_between(tmp_path: Path):
    made = Outlet(FileTarget(str(tmp_path / "log")), marker)
    for start in range(0, 5000, 100):
        made.put([b"%d\n" % number for number in range(start, start + 100)])
    made.end()
    made.join()
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(5000)]
    assert (made.written, made.lost, made.waiting) == (5000, 0, 0)
    assert made.is_done


def test_what_a_full_disk_has_no_room_for_is_counted_and_nothing_waits_for_it():
    made = Outlet(FileTarget("/dev/full"), marker, most=10)
    made.put([b"line\n"] * 8)
    until(lambda: made.trouble, made)
    made.put([b"line\n"] * 8)
    assert (made.waiting, made.lost, made.written) == (10, 6, 0)
    assert "No space left" in made.trouble
    made.end()
    made.join()
    assert made.lost == 16


def test_when_there_is_room_again_the_log_itself_says_how_much_is_missing(tmp_path: Path):
    path = tmp_path / "log"
    made = Outlet(DatagramTarget(str(path)), marker, most=3)
    made.put([b"1\n", b"2\n", b"3\n", b"4\n", b"5\n"])
    until(lambda: made.trouble, made)
    with receiver(path) as server:
        until(lambda: made.waiting == 0, made)
        made.put([b"6\n"])
        said = [server.recv(100) for _ in range(5)]
    assert said == [b"1\n", b"2\n", b"3\n", b"lost 2\n", b"6\n"]
    assert made.trouble == ""
    made.end()
    made.join()


def test_putting_lines_never_waits_for_a_target_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The logger does not read: the thread is inside a system call while the loop goes on."""
    monkeypatch.setattr(targets, "PATIENCE", 1000.0)
    monkeypatch.setattr(outlet, "LAST", 0.01)
    with receiver(tmp_path / "log") as server:
        made = Outlet(DatagramTarget(str(tmp_path / "log")), marker, most=2000)
        made.put([b"line"] * 2000)
        until(lambda: made.waiting < 2000, made)
        for _ in range(1000):
            made.put([b"line"] * 100)
        assert made.lost > 90_000
        assert made.waiting <= 2000
        made.end()
        made.join()  # not for long
        assert not made.is_done
        while not made.is_done:  # so that the thread does not outlive the test
            server.settimeout(0.2)
            try:
                server.recv(100)
            except TimeoutError:
                break
    until(lambda: made.is_done, made)
