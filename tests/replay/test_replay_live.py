"""A capture of a real transfer, taken by tcpdump on the client itself: checksums unfinished, segments
larger than the link."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ipmasq.core.policy import HelperUse, Policy
from ipmasq.core.reasons import Reason
from ipmasq.helpers.ftp import Ftp
from ipmasq.replay.replay import replay
from ipmasq.wire.addresses import to_address, to_network
from tests.namespaces import within

CLIENT, SERVER = f"mqr-c{os.getpid()}", f"mqr-s{os.getpid()}"
POLICY = Policy(
    inside=(to_network("10.0.0.0/24"),),
    public=(to_address("203.0.113.1"),),
    helpers=(HelperUse("ftp", Ftp, 6, frozenset({21}), True),),
)
VSFTPD = """listen=YES
background=NO
anonymous_enable=YES
anon_root={root}
secure_chroot_dir={root}
connect_from_port_20=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=NO
"""


def run(command: str) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


def run_in(namespace: str, command: str) -> str:
    return run(" ".join(within(namespace, command)))


@pytest.fixture
def link() -> Iterator[None]:
    """Two namespaces and a cable; no gateway."""
    try:
        for name in (CLIENT, SERVER):
            run(f"ip netns add {name}")
            run_in(name, "ip link set lo up")
        run_in(CLIENT, f"ip link add eth0 type veth peer name eth0 netns {SERVER}")
        for name, own, other in (
            (CLIENT, "10.0.0.2", "198.51.100.0/24"),
            (SERVER, "198.51.100.1", "10.0.0.0/24"),
        ):
            run_in(name, f"ip address add {own}/24 dev eth0")
            run_in(name, "ip link set eth0 up")
            run_in(name, f"ip route add {other} dev eth0")
        yield
    finally:
        for name in (CLIENT, SERVER):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.fixture
def server(link: None, tmp_path: Path) -> Iterator[bytes]:
    """vsftpd, with one file, in a directory that its user may enter."""
    with TemporaryDirectory() as directory:
        root = Path(directory)
        root.chmod(0o755)
        yield from serve(root, tmp_path / "vsftpd.conf")


def serve(root: Path, config: Path) -> Iterator[bytes]:
    content = os.urandom(300_000)
    (root / "file").write_bytes(content)
    config.write_text(VSFTPD.format(root=root))
    process = subprocess.Popen(within(SERVER, "vsftpd", str(config)))
    try:
        wait_for(lambda: ":21 " in run_in(SERVER, "ss -Hltn"))
        yield content
    finally:
        stop(process)


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.mark.live
def test_a_transfer_captured_on_the_sending_host_leaves_with_every_checksum_right(
    server: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "in.pcap"
    watch = f"tcpdump -q -U -B 4096 -s 0 -i eth0 -w {path} ip"
    tcpdump = subprocess.Popen(within(CLIENT, *watch.split()), stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: path.exists() and path.stat().st_size >= 24)
        curl = "curl -s --max-time 20 --disable-eprt --ftp-port - ftp://198.51.100.1/file"
        got = subprocess.run(within(CLIENT, *curl.split()), capture_output=True, check=True).stdout
        assert got == server
        wait_for(lambda: b"221 " in path.read_bytes())
    finally:
        stop(tcpdump)
    target = io.BytesIO()
    with path.open("rb") as source:
        summary = replay(source, target, POLICY)
    assert summary.damage == ""
    assert set(summary.reasons) == {Reason.TRANSLATED}
    assert summary.unfinished > 5
    assert (summary.flows, summary.rewrites, summary.met) == (2, 1, 1)
    out = tmp_path / "out.pcapng"
    out.write_bytes(target.getvalue())
    # What is wrong with the capture, as its checksums are unfinished, is right with what leaves.
    assert wrong_checksums(path)
    assert not wrong_checksums(out)
    assert not tshark(out, "ip.addr==10.0.0.2 && frame.interface_name==outside")


def wrong_checksums(path: Path) -> str:
    return tshark(path, "tcp.checksum.status!=1 || ip.checksum.status!=1")


def tshark(path: Path, only: str) -> str:
    checked = "-o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE"
    command = ["tshark", "-n", *checked.split(), "-r", str(path), "-Y", only]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout
