"""`ipmasq stop` ends the gateway of its network namespace, and nothing else."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ipmasq.planes.tun.record import record_in
from tests.live.as_users import LIMIT, started
from tests.live.conftest import Network, run, trace
from tests.live.test_undo_command import file, ipmasq

pytestmark = pytest.mark.live

__all__ = ["file"]


def test_a_gateway_ends_and_the_host_is_as_before(network: Network, file: Path) -> None:
    before = trace(network)
    with started(network, file, file.with_name("control.sock")) as gateway:
        done = ipmasq(network, "stop")
        assert (done.returncode, done.stdout) == (0, "the gateway has ended\n"), done.stderr
        assert gateway.process.wait(5) == 0
        assert trace(network) == before
    again = ipmasq(network, "stop")
    assert (again.returncode, again.stderr) == (4, "ipmasq: no gateway runs here\n")


def test_with_keep_everything_is_left_to_the_next_one(network: Network, file: Path) -> None:
    socket = file.with_name("control.sock")
    before = trace(network)
    with started(network, file, socket) as gateway:
        during = trace(network)
        done = ipmasq(network, "stop", "--keep")
        assert done.stdout == "the gateway has ended and waits for a successor\n", done.stderr
        assert gateway.process.wait(5) == 0
        assert trace(network)["rules"] == during["rules"]
    assert "one was killed" in ipmasq(network, "stop").stderr
    socket.unlink(missing_ok=True)
    with started(network, file, socket):
        assert ipmasq(network, "stop").returncode == 0
    assert trace(network) == before
    file.write_text(file.read_text() + "[state]\nkeep = false\n")
    with started(network, file, socket):
        done = ipmasq(network, "stop", "--keep")
        assert done.returncode == 1
        assert "left nothing: its configuration keeps no state" in done.stderr
    assert trace(network) == before


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "full"
    directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=300k,mode=755", "none", str(directory))
    try:
        with suppress(OSError), (directory / "filling").open("wb", buffering=0) as filling:
            while filling.write(bytes(4096)):
                pass
        yield directory
    finally:
        run("umount", str(directory))


def test_with_keep_it_goes_on_while_its_state_cannot_be_written(
    network: Network, file: Path, full_disk: Path
) -> None:
    before = trace(network)
    file.write_text(file.read_text() + f'[state]\ndirectory = "{full_disk}"\n')
    with started(network, file, file.with_name("control.sock")) as gateway:
        done = ipmasq(network, "stop", "--keep")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("ipmasq: the gateway goes on")
        assert "full" in done.stderr
        assert "end everything with ipmasq stop" in done.stderr
        assert gateway.process.poll() is None
        assert ipmasq(network, "stop").returncode == 0
    assert trace(network) == before


def test_its_state_is_known_also_where_its_working_directory_is_gone(
    network: Network, file: Path, full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(file.read_text() + f'[state]\ndirectory = "{full_disk}"\n')
    gone = file.parent / "gone"
    gone.mkdir()
    shutil.copy(file, gone)
    monkeypatch.chdir(gone)
    with started(network, Path(file.name), file.with_name("control.sock")):
        shutil.rmtree(gone)
        monkeypatch.chdir("/")
        shown = ipmasq(network, "status", "--json", "--socket", str(file.with_name("control.sock")))
        assert json.loads(shown.stdout)["config"] == str(gone / file.name)
        assert ipmasq(network, "stop", "--keep").returncode == 1
        assert ipmasq(network, "stop").returncode == 0


def test_sigusr2_ends_it_all_the_same_and_the_log_says_what_is_lost(
    network: Network, file: Path, full_disk: Path
) -> None:
    before = trace(network)
    file.write_text(file.read_text() + f'[state]\ndirectory = "{full_disk}"\n')
    with started(network, file, file.with_name("control.sock")) as gateway:
        gateway.process.send_signal(signal.SIGUSR2)
        gateway.said, _ = gateway.process.communicate(timeout=LIMIT)
        assert gateway.process.returncode == 0
        assert "told to leave everything to a successor, but the state cannot" in gateway.said
    assert ipmasq(network, "undo").returncode == 0
    assert trace(network) == before


def test_one_that_does_not_end_in_time_is_named(network: Network, file: Path) -> None:
    with started(network, file, file.with_name("control.sock")) as gateway:
        gateway.process.send_signal(signal.SIGSTOP)
        try:
            done = ipmasq(network, "stop", "--wait", "0.2")
        finally:
            gateway.process.send_signal(signal.SIGCONT)
        assert done.returncode == 1
        assert f"(process {gateway.process.pid}) has not ended after 0.2 s" in done.stderr
        assert gateway.process.wait(20) == 0, "it was told to end"


def test_a_process_that_does_not_hold_the_lock_is_left_alone(network: Network, file: Path) -> None:
    """A user with fewer rights, to whom the lock belongs, could name any process in it."""
    with started(network, file, file.with_name("control.sock")), network.at("gw"):
        lock = record_in().with_suffix(".lock")
        with lock.open("r+") as opened, subprocess.Popen(["sleep", "60"], stdin=opened) as other:
            try:
                lock.write_text(str(other.pid))
                done = ipmasq(network, "stop")
                assert done.returncode == 1
                assert f"process {other.pid} is not the gateway that runs here" in done.stderr
                assert other.poll() is None
            finally:
                other.kill()
