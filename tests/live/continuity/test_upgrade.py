"""`ipmasq upgrade`: what runs through the gateway goes on in another process, or in the same one if that fails."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from tests.live.conftest import REMOTE, Network, trace
from tests.live.continuity.sessions import Control, control, resets
from tests.live.continuity.stepping import STEPS
from tests.live.continuity.upgrading import Gateway, eventually, running
from tests.live.test_tun import udp_socket
from tests.namespaces import within

pytestmark = pytest.mark.live

PLANES = ["tun", "ebpf-tc"]
CASES = [("in", "out"), ("out", "in")]
SIZE = 24 << 20
"""Bytes of a file. The server takes its time, so that upgrades fall into a transfer."""
RATE = 3 << 20


@contextmanager
def server(network: Network, host: str, directory: Path) -> Iterator[bytes]:
    """vsftpd, with a file `data`; its content."""
    root = directory / f"ftp-{host}"
    root.mkdir(mode=0o755)
    for above in (root, *root.parents[:3]):
        if above != Path("/tmp"):
            above.chmod(above.stat().st_mode | 0o555)
    content = random.Random(host).randbytes(SIZE)
    (root / "data").write_bytes(content)
    empty = Path("/run/vsftpd/empty")
    empty.mkdir(parents=True, exist_ok=True)
    file = directory / f"vsftpd-{host}.conf"
    file.write_text(
        dedent(
            f"""\
            background=NO
            listen=YES
            listen_port=2121
            seccomp_sandbox=NO
            isolate=NO
            isolate_network=NO
            secure_chroot_dir={empty}
            nopriv_user=ftp
            ftp_username=ftp
            local_enable=NO
            anonymous_enable=YES
            no_anon_password=YES
            anon_root={root}
            anon_max_rate={RATE}
            """
        )
    )
    process = network.start(host, "vsftpd", str(file))
    try:
        with network.at(host):
            eventually(lambda: _listens(2121), "vsftpd listens")
        yield content
    finally:
        process.kill()
        process.communicate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Transfer:
    """curl, in the middle of a download."""

    def __init__(self, network: Network, host: str, url: str, target: Path, *how: str) -> None:
        command = ["curl", "-sS", "--max-time", "240", *how, "-o", str(target), url]
        self.process = subprocess.Popen(
            within(network.name(host), *command), stderr=subprocess.PIPE, text=True
        )
        self.target = target
        eventually(lambda: self.bytes > 100_000 or self.process.poll() is not None, "it has begun")

    @property
    def bytes(self) -> int:
        return self.target.stat().st_size if self.target.exists() else 0

    def check(self, content: bytes) -> None:
        _, complaint = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, complaint
        assert hashlib.sha256(self.target.read_bytes()).digest() == hashlib.sha256(content).digest()


@pytest.mark.row("HA-2")
@pytest.mark.parametrize("plane", PLANES)
def test_sessions_transfers_and_flows_go_on_in_the_successor_and_in_its_successor(
    network: Network, tmp_path: Path, plane: str
) -> None:
    text = "\n[helper.ftp]\nports = [21, 2121]\n"
    with ExitStack() as stack:
        gateway = stack.enter_context(running(network, tmp_path, plane))
        gateway.config.write_text(gateway.config.read_text() + text)
        content = stack.enter_context(server(network, "out", tmp_path))
        assert gateway.upgrade().returncode == 0, "it takes the new ports from the file"
        sessions = [stack.enter_context(control(network, *case)) for case in CASES]
        for each in sessions:
            each.greet()
            each.transfer()
        url = f"ftp://{REMOTE}:2121/data"
        transfers = [
            Transfer(network, "in", url, tmp_path / "passive", "--ftp-pasv"),
            Transfer(network, "in", url, tmp_path / "active", "--ftp-port", "-"),
        ]
        asking, answering = udp_socket(network, "in"), udp_socket(network, "out", REMOTE, 7000)
        stack.callback(asking.close)
        stack.callback(answering.close)
        asking.sendto(b"before", (REMOTE, 7000))
        _, public = answering.recvfrom(100)
        answering.sendto(b"answer", public)
        before, processes = resets(network), {gateway.status()["process"]}

        for number in range(2):
            assert all(each.process.poll() is None for each in transfers), "it runs through"
            done = gateway.upgrade()
            assert done.returncode == 0, done.stderr + gateway.said()
            processes.add(gateway.status()["process"])
            for each in sessions:
                each.transfer()
                each.talk(f"after upgrade {number}")
            asking.sendto(b"after", (REMOTE, 7000))
            assert answering.recvfrom(100) == (b"after", public)
        assert len(processes) == 3
        for transfer in transfers:
            transfer.check(content)
        assert resets(network) == before
        last = {gateway.status()["process"]}
        eventually(lambda: gateway.living() == last, "the others have ended")


def check_goes_on(gateway: Gateway, session: Control, number: int) -> None:
    """The first process is the gateway, alone, and the session goes on."""
    first = gateway.process.pid
    assert gateway.status()["process"] == first
    assert gateway.status()["state"]["kept"]
    session.transfer()
    session.talk(f"attempt {number}")
    assert gateway.living() == {first}


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("what", ["killed", "raising", "silent"])
def test_whatever_happens_to_the_successor_at_any_step_this_process_goes_on(
    network: Network, tmp_path: Path, plane: str, what: str
) -> None:
    for number, step in enumerate(STEPS):
        directory = tmp_path / step
        directory.mkdir()
        before = trace(network)
        with (
            running(network, directory, plane, step, what) as gateway,
            control(network, "in", "out") as session,
        ):
            session.greet()
            session.transfer()
            had = resets(network)
            for _ in range(2):
                if (step, what) == ("taken", "raising"):
                    break  # what fails after `go` is no handover any more, but a gateway that ends
                done = gateway.upgrade()
                assert done.returncode == 1, (step, done.stdout, gateway.said())
                assert "has not taken over, and this one goes on" in done.stderr, step
                check_goes_on(gateway, session, number)
            assert resets(network) == had
        assert trace(network) == before, step


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("step", STEPS)
def test_sigterm_at_any_step_ends_both(
    network: Network, tmp_path: Path, plane: str, step: str
) -> None:
    before = trace(network)
    with running(network, tmp_path, plane, step, "SIGTERM") as gateway:
        gateway.upgrade()
        assert gateway.wait() == 0, gateway.said()
        eventually(lambda: not gateway.living(), "none lives")
        assert trace(network) == before
        assert not gateway.socket.exists()


@pytest.mark.parametrize("step", STEPS)
def test_sighup_at_any_step_reloads_the_gateway_that_is_left(
    network: Network, tmp_path: Path, step: str
) -> None:
    with running(network, tmp_path, "tun", step, "SIGHUP") as gateway:
        done = gateway.upgrade()
        assert done.returncode == 0, done.stderr
        eventually(lambda: "reloaded: " in gateway.said(), "it reloads")
        assert gateway.wait() == 0
        assert gateway.living() == {gateway.status()["process"]}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("[state]\nkeep = false\n", "[state] keep"),
        ("[state]\ngrace = '7s'\n", "[state] grace"),
        ("[state]\ndurable = true\n", "[state] durable"),
        ("[state]\ndirectory = '/run/ipmasq-elsewhere'\n", "[state] directory"),
        ("[nonsense]\n", "nonsense"),
    ],
)
def test_a_configuration_that_cannot_take_over_changes_nothing(
    network: Network, tmp_path: Path, more: str, text: str
) -> None:
    with (
        running(network, tmp_path, "tun") as gateway,
        control(network, "in", "out") as session,
    ):
        session.greet()
        gateway.config.write_text(gateway.config.read_text() + more)
        done = gateway.upgrade()
        assert done.returncode == 1
        assert text in done.stderr
        check_goes_on(gateway, session, 0)


def test_a_gateway_that_keeps_nothing_is_not_upgraded(network: Network, tmp_path: Path) -> None:
    gateway = Gateway(network, tmp_path, "tun")
    gateway.stop()
    gateway.config.write_text(gateway.config.read_text() + "[state]\nkeep = false\n")
    with running(network, tmp_path, "tun") as gateway:
        done = gateway.upgrade()
        assert done.returncode == 1
        assert "nothing is kept here" in done.stderr
        assert gateway.living() == {gateway.process.pid}


def test_the_successor_obeys_signals_and_is_stopped_as_any_gateway(
    network: Network, tmp_path: Path
) -> None:
    before = trace(network)
    with running(network, tmp_path, "tun") as gateway:
        assert gateway.upgrade().returncode == 0
        assert gateway.wait() == 0
        with network.at("gw"):
            done = subprocess.run(
                [sys.executable, "-m", "ipmasq", "stop"],
                capture_output=True,
                text=True,
                check=False,
            )
        assert (done.returncode, done.stdout) == (0, "the gateway has ended\n"), done.stderr
        eventually(lambda: not gateway.living(), "it has ended")
        assert trace(network) == before
