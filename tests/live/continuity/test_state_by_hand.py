"""A state that was saved by hand is loaded on a host that has lost its own."""

from __future__ import annotations

import json
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pytest

from ipmasq.planes.tun.record import record_in
from tests.continuity.states import batches, write
from tests.live.as_users import started
from tests.live.conftest import Network
from tests.live.continuity.sessions import control
from tests.live.resets import no_resets
from tests.live.test_undo_command import ipmasq

pytestmark = pytest.mark.live

TOML = """
[gateway]
inside = ["10.0.0.0/24", "gi"]
outside = "go"
plane = "tun"

[control]
socket = "{socket}"

[state]
directory = "{directory}"
"""


def configuration(tmp_path: Path, name: str) -> Path:
    """The file of a gateway with a runtime directory of its own."""
    path = tmp_path / f"{name}.toml"
    path.write_text(TOML.format(socket=tmp_path / f"{name}.sock", directory=tmp_path / name))
    return path


def done_well(network: Network, *command: str) -> str:
    """What a command says that does not fail."""
    done = ipmasq(network, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_ftp_session_with_shifted_numbers_goes_on_from_a_saved_state(
    network: Network, tmp_path: Path
) -> None:
    first, second = (configuration(tmp_path, name) for name in ("first", "second"))
    socket, saved = str(tmp_path / "first.sock"), str(tmp_path / "saved")
    with ExitStack() as stack:
        with started(network, first, tmp_path / "first.sock") as gateway:
            session = stack.enter_context(control(network, "in", "out"))
            session.greet()
            session.transfer()
            session.talk("before")
            done_well(network, "state", "save", saved, "--socket", socket)
            shown = json.loads(ipmasq(network, "state", "show", "--json", saved).stdout)
            assert shown["inspected"] == {"ftp": 1}
            assert shown["written_by"] == version("ipmasq")
            refused = ipmasq(network, "state", "load", saved, "-c", str(second))
            assert refused.returncode == 1
            assert f"(process {gateway.process.pid}); end it first" in refused.stderr
            gateway.process.kill()
            gateway.process.wait()
        assert ipmasq(network, "undo").returncode == 0
        loaded = done_well(network, "state", "load", saved, "-c", str(second))
        assert "the next ipmasq run goes on with them" in loaded
        with (
            started(network, second, tmp_path / "second.sock"),
            no_resets(network, gateways=("gw",)),
        ):
            session.talk("after")
            session.transfer()
            session.talk("at last")


def test_an_ftp_session_that_was_in_use_since_the_copy_is_reset(
    network: Network, tmp_path: Path
) -> None:
    first, second = (configuration(tmp_path, name) for name in ("first", "second"))
    socket, saved = str(tmp_path / "first.sock"), str(tmp_path / "saved")
    with ExitStack() as stack:
        with started(network, first, tmp_path / "first.sock") as gateway:
            session = stack.enter_context(control(network, "in", "out"))
            session.greet()
            done_well(network, "state", "save", saved, "--socket", socket)
            session.transfer()
            gateway.process.kill()
            gateway.process.wait()
        assert ipmasq(network, "undo").returncode == 0
        done_well(network, "state", "load", saved, "-c", str(second))
        with started(network, second, tmp_path / "second.sock"):
            session.client.say("STAT after")
            with pytest.raises(ConnectionResetError):
                session.client.hear()
            shown = ipmasq(network, "show", "stats", "--socket", str(tmp_path / "second.sock"))
            assert "outdated" in shown.stdout


def test_what_cannot_be_loaded_is_refused_in_one_sentence_and_changes_nothing(
    network: Network, tmp_path: Path
) -> None:
    config, saved = str(configuration(tmp_path, "run")), write(tmp_path / "saved")
    damaged = write(tmp_path / "damaged", batches()[0][:-1])
    with network.at("gw"):
        lock = record_in().with_suffix(".lock")
    for mode, file, said in (
        (0o600, tmp_path / "missing", "there is no state"),
        (0o600, damaged, f"{damaged}: a batch is damaged: its checksum is wrong"),
        (0o660, saved, f"other users may write {saved}"),
    ):
        saved.chmod(mode)
        done = ipmasq(network, "state", "load", str(file), "-c", config)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"ipmasq: nothing is loaded: {said}")
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    saved.chmod(0o600)
    assert ipmasq(network, "state", "load", str(saved), "-c", config).returncode == 0
    again = ipmasq(network, "state", "load", str(saved), "-c", config)
    assert again.stdout.splitlines()[0].startswith("loaded 3 flows")
    assert again.stdout.splitlines()[1].endswith(".db.replaced")
    assert not lock.exists(), "the next gateway may be another user's"
