"""`ipmasq upgrade`: what runs through the gateway goes on in another process, or in the same one if that fails."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ipmasq.control.client import UnreachableError
from ipmasq.planes.tun.journal import holder
from ipmasq.planes.tun.record import record_in
from tests.live.conftest import REMOTE, Network, trace
from tests.live.continuity.flowing import Datagrams, Download, server
from tests.live.continuity.sessions import Control, control
from tests.live.continuity.stepping import STEPS
from tests.live.continuity.upgrading import Gateway, eventually, running
from tests.live.resets import no_resets

pytestmark = pytest.mark.live

CASES = [("in", "out"), ("out", "in")]

HAPPENING = [
    *((step, "killed") for step in STEPS),
    ("claim", "raising"),
    ("running", "silent"),
]


@pytest.mark.row("HA-2")
@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_sessions_transfers_and_flows_go_on_in_the_successor_and_in_its_successor(
    network: Network, tmp_path: Path, plane: str
) -> None:
    untouched = trace(network)
    with ExitStack() as stack:
        gateway = stack.enter_context(running(network, tmp_path, plane))
        gateway.config.write_text(gateway.text + "\n[helper.ftp]\nports = [21, 2121]\n")
        content = stack.enter_context(server(network, "out", tmp_path))
        assert gateway.upgrade() == "", "it takes the new ports from the file"
        sessions = [stack.enter_context(control(network, *case)) for case in CASES]
        for each in sessions:
            each.greet()
            each.transfer()
        url = f"ftp://{REMOTE}:2121/data"
        downloads = [
            stack.enter_context(Download(network, "in", url, *how))
            for how in (["--ftp-pasv"], ["--ftp-port", "-"])
        ]
        datagrams = stack.enter_context(Datagrams(network))
        eventually(lambda: plane == "tun" or gateway.offloaded() > 100, "much goes by")
        processes = {gateway.status()["process"]}
        with no_resets(network, gateways=("gw",)):
            for number in range(2):
                offloaded = gateway.offloaded()
                done = ipmasq(gateway, "upgrade", "--socket", str(gateway.socket))
                assert done.returncode == 0, done.stderr + gateway.said()
                processes.add(gateway.status()["process"])
                assert f"process {gateway.status()['process']} has taken over" in done.stdout
                assert gateway.offloaded() >= offloaded
                for each in sessions:
                    each.transfer()
                    each.talk(f"after upgrade {number}")
            assert len(processes) == 3
            for download in downloads:
                assert download.is_under_way
                download.check(content)
            datagrams.check()
        check_is_stopped(gateway)
    assert trace(network) == untouched


def ipmasq(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    with gateway.network.at("gw"):
        command = [sys.executable, "-m", "ipmasq", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def check_is_stopped(gateway: Gateway) -> None:
    """The last process is the only one, and obeys as any gateway does."""
    last = {gateway.status()["process"]}
    eventually(lambda: gateway.living() == last, "the others have ended")
    assert gateway.wait() == 0
    done = ipmasq(gateway, "stop")
    assert (done.returncode, done.stdout) == (0, "the gateway has ended\n"), done.stderr
    assert not gateway.living()


def steering(network: Network) -> dict[str, str]:
    """What the gateway has changed of the host, without the numbers of its own devices."""
    return {name: text for name, text in trace(network).items() if name != "links"}


def check_goes_on(gateway: Gateway, session: Control, attempt: str) -> None:
    """The first process is the gateway, alone, and the session goes on."""
    first = gateway.process.pid
    status = gateway.status()
    assert status["process"] == first
    assert status["state"]["kept"]
    session.transfer()
    session.talk(attempt)
    assert gateway.living() == {first}
    with gateway.network.at("gw"):
        assert holder(record_in()) == str(first)


def test_whatever_happens_to_the_successor_at_any_step_this_process_goes_on(
    network: Network, tmp_path: Path
) -> None:
    untouched = trace(network)
    with (
        running(network, tmp_path, "ebpf-tc") as gateway,
        control(network, "in", "out") as session,
    ):
        session.greet()
        session.transfer()
        runs = steering(network)
        with no_resets(network, gateways=("gw",)), Datagrams(network) as datagrams:
            for step, what in HAPPENING:
                gateway.at(step, what)
                said = gateway.upgrade()
                assert "has not taken over, and this one goes on" in said, (step, what, said)
                check_goes_on(gateway, session, f"{step} {what}")
                assert steering(network) == runs, (step, what)
            datagrams.check()
        gateway.at("-", "-")
        assert gateway.upgrade() == ""
        session.transfer()
        assert gateway.wait() == 0
    assert trace(network) == untouched


@pytest.mark.parametrize("step", ["borrow", "opened", "running"])
def test_sigterm_at_any_step_ends_both(network: Network, tmp_path: Path, step: str) -> None:
    untouched = trace(network)
    with running(network, tmp_path, "tun") as gateway:
        gateway.at(step, "SIGTERM")
        with suppress(UnreachableError):  # it may end before it answers
            gateway.upgrade()
        assert gateway.wait() == 0, gateway.said()
        eventually(lambda: not gateway.living(), "none lives")
        assert trace(network) == untouched
        assert not gateway.socket.exists()


def test_if_both_end_without_a_word_the_next_gateway_goes_on(
    network: Network, tmp_path: Path
) -> None:
    untouched = trace(network)
    with running(network, tmp_path, "tun") as gateway, control(network, "in", "out") as session:
        session.greet()
        session.transfer()
        with ExitStack() as until_the_end, no_resets(network, gateways=("gw",)):
            gateway.at("opened", "SIGKILL")
            with pytest.raises(UnreachableError):
                gateway.upgrade()
            eventually(lambda: not gateway.living(), "a successor without its predecessor ends")
            until_the_end.enter_context(running(network, tmp_path, "tun"))
            session.talk("again")
            session.transfer()
    assert trace(network) == untouched


def test_sighup_meanwhile_reloads_the_gateway_that_is_left(
    network: Network, tmp_path: Path
) -> None:
    with running(network, tmp_path, "tun") as gateway:
        for step in ("open", "running"):
            gateway.at(step, "SIGHUP")
            before = gateway.said().count("reloaded: ")
            assert gateway.upgrade() == ""
            eventually(lambda: gateway.said().count("reloaded: ") > before, "it reloads")  # noqa: B023
            eventually(lambda: len(gateway.living()) == 1, "the others have ended")
        assert gateway.living() == {gateway.status()["process"]}


def test_a_configuration_that_cannot_take_over_changes_nothing(
    network: Network, tmp_path: Path
) -> None:
    cases = [
        ("[state]\nkeep = false\n", "[state] keep"),
        ("[state]\ndirectory = '/run/ipmasq-elsewhere'\n", "[state] directory"),
        ("[nonsense]\n", "nonsense"),
    ]
    with (
        running(network, tmp_path, "tun") as gateway,
        control(network, "in", "out") as session,
    ):
        session.greet()
        for more, text in cases:
            gateway.config.write_text(gateway.text + more)
            assert text in gateway.upgrade()
            check_goes_on(gateway, session, text)


def test_a_fast_path_is_not_left_beside_a_successor_without_one(
    network: Network, tmp_path: Path
) -> None:
    with (
        running(network, tmp_path, "ebpf-tc") as gateway,
        control(network, "in", "out") as session,
    ):
        session.greet()
        gateway.config.write_text(gateway.text.replace("ebpf-tc", "tun"))
        assert "without a fast path" in gateway.upgrade()
        check_goes_on(gateway, session, "with the programs")
        ipmasq(gateway, "reload", "--socket", str(gateway.socket))
        session.transfer()
        assert gateway.upgrade() == "", "there are no programs now"
        session.transfer()
        gateway.config.write_text(gateway.text)
        assert gateway.upgrade() == "", "a fast path is begun by an upgrade, too"
        eventually(lambda: "ebpf" in gateway.status()["plane"], "its predecessor has ended")
        session.transfer()
        session.talk("again")


def test_a_configuration_with_another_socket_leaves_none_if_it_cannot_take_over(
    network: Network, tmp_path: Path
) -> None:
    with running(network, tmp_path, "tun") as gateway:
        gateway.config.write_text(gateway.text.replace("control.sock", "other.sock"))
        for step in ("opened", "running", "taken"):
            gateway.at(step, "killed")
            assert "has not taken over" in gateway.upgrade()
            assert [each.name for each in tmp_path.glob("*.sock*")] == ["control.sock"], step
        gateway.at("-", "-")
        assert gateway.upgrade() == ""
        assert gateway.wait() == 0
        assert [each.name for each in tmp_path.glob("*.sock*")] == ["other.sock"]


def test_a_gateway_that_keeps_nothing_is_not_upgraded(network: Network, tmp_path: Path) -> None:
    with running(network, tmp_path, "tun", "[state]\nkeep = false\n") as gateway:
        done = ipmasq(gateway, "upgrade", "--socket", str(gateway.socket))
        assert done.returncode == 1
        assert "nothing is kept here" in done.stderr
        assert gateway.living() == {gateway.process.pid}
