"""Files and sockets, also those that cannot be written."""

from __future__ import annotations

import errno
import resource
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from ipmasq.translations import targets
from ipmasq.translations.targets import DatagramTarget, FileTarget
from ipmasq.wire.addresses import Endpoint, to_address
from tests.translations.running import receiver


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel then writes as much as there is room for, and refuses the rest, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_lines_are_appended_and_only_the_group_may_read_them(tmp_path: Path):
    path = tmp_path / "log"
    path.write_text("before\n")
    target = FileTarget(str(path))
    lines = deque([b"one\n", b"two\n"])
    target.write(lines)
    target.close()
    assert not lines
    assert path.read_text() == "before\none\ntwo\n"
    FileTarget(str(tmp_path / "new")).close()
    assert not stat.S_IMODE((tmp_path / "new").stat().st_mode) & 0o027


def test_a_file_that_was_renamed_is_left_when_it_is_opened_anew(tmp_path: Path):
    path = tmp_path / "log"
    target = FileTarget(str(path))
    target.write(deque([b"one\n"]))
    path.rename(tmp_path / "log.1")
    target.write(deque([b"two\n"]))
    target.reopen()
    target.write(deque([b"three\n"]))
    target.close()
    assert (tmp_path / "log.1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"


def test_a_full_disk_raises_and_loses_nothing():
    target = FileTarget("/dev/full")
    lines = deque([b"one\n", b"two\n"])
    with pytest.raises(OSError, match="No space left") as caught:
        target.write(lines)
    assert caught.value.errno == errno.ENOSPC
    assert len(lines) == 2
    target.close()


@pytest.mark.parametrize("room", range(9))
def test_a_disk_that_fills_up_in_the_middle_of_a_line_gets_the_rest_of_it_later(
    tmp_path: Path, room: int
):
    path = tmp_path / "log"
    target = FileTarget(str(path))
    lines = deque([b"one\n", b"two\n"])
    with files_of_at_most(room):
        refused = pytest.raises(OSError, match="too large") if room == 0 else nullcontext()
        with refused:
            target.write(lines)
        assert path.stat().st_size == room
    while lines:
        target.write(lines)
    target.close()
    assert path.read_text() == "one\ntwo\n"


def test_a_line_that_was_cut_spoils_no_other_one(tmp_path: Path):
    """By an earlier process that was killed, or ended while the disk was full."""
    path = tmp_path / "log"
    path.write_text('one\n{"tw')
    target = FileTarget(str(path))
    target.write(deque([b"three\n"]))
    target.write(deque([b"four\n"]))
    target.close()
    assert path.read_text().splitlines() == ["one", '{"tw', "three", "four"]


WHOLE = ["one", "two", "three"]


@pytest.mark.parametrize("room", range(9))
@pytest.mark.parametrize("renamed", [True, False])
def test_a_line_that_did_not_fit_is_whole_in_the_file_that_is_opened_next(
    tmp_path: Path, renamed: bool, room: int
):
    path, old = tmp_path / "log", tmp_path / "log.1"
    target = FileTarget(str(path))
    lines = deque([b"one\n", b"two\n"])
    with files_of_at_most(room), suppress(OSError):
        target.write(lines)
    if renamed:
        path.rename(old)
    target.reopen()
    while lines:
        target.write(lines)
    target.write(deque([b"three\n"]))
    target.close()
    found = (old.read_text() if renamed else "") + "\n" + path.read_text()
    if renamed and room in (3, 7):  # only the end of a line is missing, which does not show
        found = found.replace("one\none", "one").replace("two\ntwo", "two")
    assert [each for each in found.splitlines() if each in WHOLE] == WHOLE
    assert path.read_text().splitlines() == (WHOLE if not renamed else WHOLE[room // 4 :])


def test_a_directory_that_is_missing_is_noticed_at_once(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        FileTarget(str(tmp_path / "none" / "here" / "log"))
    assert not (tmp_path / "none").exists()


def test_the_directory_of_the_file_is_made_for_its_owner_and_group(tmp_path: Path):
    FileTarget(str(tmp_path / "made" / "log")).close()
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) & 0o027 == 0


def test_each_line_is_a_datagram_to_the_server():
    with receiver() as server:
        address, port = server.getsockname()
        target = DatagramTarget(Endpoint(to_address(address), port))
        lines = deque([b"one", b"two"])
        target.write(lines)
        assert not lines
        assert [server.recv(100), server.recv(100)] == [b"one", b"two"]
        target.close()


def test_a_logger_that_was_restarted_is_found_again(tmp_path: Path):
    path = tmp_path / "log"
    target = DatagramTarget(str(path))
    lines = deque([b"one"])
    with pytest.raises(FileNotFoundError):
        target.write(lines)
    with receiver(path) as server:
        target.write(lines)
        assert server.recv(100) == b"one"
    path.unlink()
    lines = deque([b"two"])
    with pytest.raises(OSError, match="refused"):
        target.write(lines)
    with receiver(path) as server:
        target.write(lines)
        assert server.recv(100) == b"two"
    target.close()


def test_a_logger_that_does_not_read_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(targets, "PATIENCE", 0.01)
    with receiver(tmp_path / "log") as server:
        target = DatagramTarget(str(tmp_path / "log"))
        lines = deque([b"%d" % number for number in range(5000)])
        with pytest.raises(TimeoutError):
            target.write(lines)
        sent = 5000 - len(lines)
        assert sent > 0
        assert server.recv(100) == b"0"
        target.close()
