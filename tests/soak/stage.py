"""Where a soak takes place: a lab with real FTP servers and echo servers, and a gateway in its midst.

in1, in2, in3 --- gw1 --- net --- out1, out2
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from textwrap import dedent
from typing import IO, Any

from ipmasq.lab import Lab, Layout
from ipmasq.lab.build import inside
from tests.live.conftest import run, trace
from tests.soak.backlog import widen

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds that a process may take to start, to answer or to end."""

ECHO = 7
PUBLISHED_FTP = 2121
PUBLISHED_ECHO = 7007
PUBLIC = "203.0.113.1"

SERVERS = ("out1", "in2")


class Stage:
    def __init__(self, lab: Lab, directory: Path, plane: str, seed: int) -> None:
        self.lab = lab
        self.directory = directory
        self.plane = plane
        self.seed = seed
        self.config = directory / "gateway.toml"
        self.socket = directory / "control.sock"
        self.state = directory / "state"
        self.log = directory / "gateway.log"
        self.state.mkdir()
        self.config.write_text(configuration(self.socket))
        self._servers: list[subprocess.Popen[bytes]] = []

    # -- as `trace` of the live tests wants a network

    def ip(self, host: str, command: str) -> str:
        return run(*self.lab.command(HOSTS.get(host, host), ["ip", *command.split()]))

    def at(self, host: str) -> AbstractContextManager[None]:
        return inside(self.lab.plan.namespace(HOSTS.get(host, host)))

    def trace(self) -> dict[str, str]:
        """Everything about the gateway's host that it might have changed, and files of its own."""
        return {
            **trace(self),  # type: ignore[arg-type]
            "state": "\n".join(
                sorted(str(each) for each in self.state.rglob("*") if each.is_file())
            ),
            "socket": str(self.socket.exists()),
        }

    # -- processes

    def python(self, host: str, module: str, *arguments: object, **options: Any) -> Any:
        """A module of the soak as a process on a host."""
        told = [sys.executable, "-m", f"tests.soak.{module}", *map(str, arguments)]
        return self.lab.spawn(host, told, cwd=ROOT, **options)

    def serve(self) -> None:
        """FTP and echo servers; returns when they listen."""
        for path in (self.ftp_root, self.ftp_root / "in"):
            path.mkdir()
        self.ftp_root.chmod(0o755)
        (self.ftp_root / "in").chmod(0o777)
        Path("/run/vsftpd/empty").mkdir(parents=True, exist_ok=True)
        for host in SERVERS:
            settings = self.directory / f"vsftpd-{host}.conf"
            settings.write_text(vsftpd(self.ftp_root))
            with (self.directory / f"vsftpd-{host}.err").open("w+b") as said:
                everywhere = {"stdin": said, "stdout": said, "stderr": said}
                self._servers.append(self.lab.spawn(host, ["vsftpd", str(settings)], **everywhere))
            self._servers.append(self.python(host, "echo", ECHO, stdout=subprocess.DEVNULL))
        for process, port in zip(self._servers, (21, ECHO) * len(SERVERS), strict=True):
            await_listener(process, port)
            widen(process.pid)

    @property
    def ftp_root(self) -> Path:
        return self.directory / "ftp"

    def close(self) -> None:
        for process in self._servers:
            process.terminate()
        for process in self._servers:
            process.wait(PATIENCE)


HOSTS = {"gw": "gw1"}


def await_listener(process: subprocess.Popen[bytes], port: int) -> None:
    """Raises RuntimeError if it does not listen in time."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if (
            f":{port:04X} 00000000:0000 0A"
            in Path("/proc", str(process.pid), "net/tcp").read_text()
        ):
            return
        time.sleep(0.05)
    raise RuntimeError(f"no server listens on port {port}")


class Running:
    """The gateway's process (`tests/soak/gateway.py`)."""

    def __init__(self, stage: Stage, faults: dict[str, float], diagnose: bool = False) -> None:
        """Raises RuntimeError if it does not start."""
        told = (stage.config, stage.state, stage.plane, stage.seed, json.dumps(faults))
        with stage.log.open("ab") as log:
            self.process = stage.python(
                *("gw1", "gateway", *told, *(["--diagnose"] if diagnose else [])),
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            self._line()
        except RuntimeError as error:
            self.stop()
            raise RuntimeError(f"{error}: {stage.log.read_text()[-2000:]}") from None

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def facts(self, checked: bool = False) -> dict[str, Any]:
        """See `tests.soak.gateway.Facts`. Raises RuntimeError if it does not answer."""
        self.process.send_signal(signal.SIGRTMIN if checked else signal.SIGUSR1)
        return dict(json.loads(self._line()))

    def stop(self) -> tuple[int, int]:
        """What it ends with (0 if all is well), and how many objects were garbage in cycles."""
        self.process.send_signal(signal.SIGTERM)
        try:
            said, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, _ = self.process.communicate()
        facts = [line for line in said.splitlines() if line.startswith(b"{")]
        found = json.loads(facts[-1]).get("unreachable", 0) if facts else 0
        return int(self.process.returncode), int(found)

    def _line(self) -> bytes:
        out: IO[bytes] = self.process.stdout
        ready, _, _ = select.select([out], [], [], PATIENCE)
        line = out.readline() if ready else b""
        if not line:
            raise RuntimeError("the gateway has ended" if ready else "the gateway does not answer")
        return line


@contextmanager
def stage(plane: str, seed: int) -> Iterator[Stage]:
    """All of it is gone afterwards, whatever happened in between."""
    with tempfile.TemporaryDirectory(prefix="ipmasq-soak-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # servers drop their rights before they come here
        layout = Layout(prefix=f"soak{os.getpid()}", inside=3, xdp=plane == "ebpf-xdp")
        with Lab.up(layout) as lab:
            made = Stage(lab, directory, plane, seed)
            try:
                made.serve()
                yield made
            finally:
                made.close()


def configuration(socket: Path, more: str = "") -> str:
    """Short idle times, so that flows of all ages end while it runs and soon afterwards. But a connection that is
    being opened outlives every pause between two repetitions of a SYN-ACK within `PATIENCE` (8 s at most)."""
    return dedent(f"""\
        [gateway]
        inside = ["10.0.0.0/24"]
        outside = "outside"

        [timeouts]
        tcp_established = 30
        tcp_opening = 10
        tcp_closing = 5
        udp = 10
        icmp = 5
        fragment = 3

        [limits]
        flows = 100_000

        [control]
        socket = "{socket}"

        [helper.ftp]
        ports = [21, {PUBLISHED_FTP}]

        [[forward]]
        name = "ftp"
        port = {PUBLISHED_FTP}
        to = "10.0.0.3:21"

        [[forward]]
        name = "echo"
        port = {PUBLISHED_ECHO}
        to = "10.0.0.3:{ECHO}"

        [[forward]]
        name = "echo-udp"
        protocol = "udp"
        port = {PUBLISHED_ECHO}
        to = "10.0.0.3:{ECHO}"
        """) + dedent(more)


def vsftpd(root: Path) -> str:
    return dedent(f"""\
        background=NO
        listen=YES
        seccomp_sandbox=NO
        isolate=NO
        isolate_network=NO
        local_enable=NO
        anonymous_enable=YES
        no_anon_password=YES
        anon_root={root}
        anon_upload_enable=YES
        write_enable=YES
        anon_umask=022
        connect_from_port_20=YES
        connect_timeout=10
        accept_timeout=20
        data_connection_timeout=30
        idle_session_timeout=60
        """)
