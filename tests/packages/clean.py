"""A clean Debian 12, and copies of it in which packages are installed and systemd runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "build" / "packages"
BASE = BUILD / "debian-12"
ENTER = Path(__file__).with_name("enter.sh")

PACKAGES = "systemd,systemd-sysv,dbus"
"""What a minimal Debian needs besides to be run by systemd. It has no Python."""

PATIENCE = 240.0
"""Seconds that a command may take; `apt install` fetches packages."""

BOOT = 30.0
"""Seconds that systemd may take."""


def make_base() -> Path:
    """Return the directory of a clean Debian 12, which is made once."""
    if not BASE.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        draft = BASE.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        how = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
        subprocess.run([*how, "bookworm", str(draft)], check=True, timeout=600)
        draft.rename(BASE)
    return BASE


class Debian:
    """A copy of the clean Debian, with changes of its own in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("upper", "work", "root"):
            (directory / name).mkdir(parents=True)

    def copy(self, directory: Path) -> Debian:
        """Return a copy, while nothing runs in it."""
        made = Debian(directory)
        upper = str(self._directory / "upper")
        subprocess.run(["cp", "-a", f"{upper}/.", str(directory / "upper")], check=True)
        return made

    def put(self, source: Path, path: str) -> None:
        """Copy a file into it. `path` is absolute there."""
        target = self._directory / "upper" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)

    def run(self, *command: str) -> str:
        """Run a command while nothing else runs in it, with this host's network. Return what it printed."""
        said = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        said |= {"PATH": path, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
        return finish(self._entered("run", *command), env=said)

    @contextmanager
    def booted(self, *prefix: str) -> Iterator[Machine]:
        """Let systemd run it. `prefix` is a command line that runs another one, in a network namespace."""
        process = subprocess.Popen(
            [*prefix, *self._entered("boot")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Machine(process)
        finally:
            process.kill()
            process.wait()

    def _entered(self, mode: str, *command: str) -> list[str]:
        namespaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
        where = [str(make_base()), str(self._directory)]
        return ["unshare", *namespaces, "sh", str(ENTER), mode, *where, *command]


class Machine:
    """A Debian that systemd runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Waits until it has booted."""
        deadline = time.monotonic() + BOOT
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (found := children.read_text().split()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.init = int(found[0])
        while self.state() not in ("running", "degraded"):
            assert process.poll() is None, "systemd has ended"
            assert time.monotonic() < deadline, self.state()
            time.sleep(0.05)

    def state(self) -> str:
        return self.ask("systemctl", "is-system-running").stdout.strip()

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command there, whatever it returns."""
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        entered = ["nsenter", f"--target={self.init}", "--all", "env", "-i", f"PATH={path}"]
        return subprocess.run(
            [*entered, "DEBIAN_FRONTEND=noninteractive", *command],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def run(self, *command: str) -> str:
        done = self.ask(*command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}{self.log()}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        self.file(path).write_text(text)

    def file(self, path: str) -> Path:
        """A file of the machine, as this process sees it."""
        return Path(f"/proc/{self.init}/root{path}")

    def log(self) -> str:
        """The last lines of the service's log."""
        return self.ask("journalctl", "-u", "ipmasq", "--no-pager", "-n", "20").stdout

    def show(self, what: str) -> str:
        """A property of the service (systemctl show)."""
        return self.run("systemctl", "show", "ipmasq", "--value", f"--property={what}").strip()

    def kill_service(self, whom: str = "all") -> None:
        """Kill its processes: `main` is the gateway alone, `all` also the one that keeps its devices."""
        kill = f"--signal={int(signal.SIGKILL)}", f"--kill-whom={whom}"
        self.run("systemctl", "kill", *kill, "ipmasq")


def finish(command: list[str], **options: object) -> str:
    """Run a command to its end. Return what it printed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return str(done.stdout)
