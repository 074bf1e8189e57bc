"""Three network namespaces, inside - gateway - outside, and programs in them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.namespaces import within

PREFIX = "ipmbench"
NUMBERS = count()
"""Of the networks of this process."""
INSIDE, GATEWAY_IN, GATEWAY_OUT, OUTSIDE = "10.0.0.2", "10.0.0.1", "203.0.113.1", "203.0.113.2"


def on_one_processor(*command: str) -> tuple[str, ...]:
    """All hosts on the same one. Waking another one up takes longer than any gateway does."""
    return "taskset", "-c", str(max(os.sched_getaffinity(0))), *command


class Network:
    """Addresses and interfaces are those of the names above; `gi` and `go` are the gateway's."""

    def __init__(self) -> None:
        self.prefix = f"{PREFIX}{os.getpid()}-{next(NUMBERS)}"

    def name(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def command(self, host: str, *command: str) -> list[str]:
        """It dies with us, even if we are killed."""
        return ["setpriv", "--pdeathsig", "KILL", *within(self.name(host), *command)]

    def run(self, host: str, *command: str, given: str | None = None) -> str:
        return _run(*self.command(host, *command), given=given)

    @contextmanager
    def running(self, host: str, *command: str, ready: str) -> Iterator[None]:
        """While this program runs; it has begun when it says `ready`."""
        process = subprocess.Popen(
            self.command(host, *command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout
        # What it says later must not fill the pipe.
        rest = threading.Thread(target=process.stdout.read, daemon=True)
        try:
            said = ""
            while ready not in said:
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError(f"{' '.join(command)} does not run: {said}")
                said += line
            rest.start()
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if rest.ident:
                rest.join()
            process.stdout.close()

    def up(self) -> None:
        for host in ("in", "gw", "out"):
            _run("ip", "netns", "add", self.name(host))
            self.run(host, "ip", "link", "set", "lo", "up")
        self._cable("in", INSIDE, "gi", GATEWAY_IN)
        self._cable("out", OUTSIDE, "go", GATEWAY_OUT)
        self.run("in", "ip", "route", "add", "default", "via", GATEWAY_IN)
        # For the kernel that forwards and does not masquerade.
        self.run("out", "ip", "route", "add", "10.0.0.0/24", "via", GATEWAY_OUT)

    def _cable(self, host: str, address: str, interface: str, gateway: str) -> None:
        link = ("ip", "link", "add", interface, "type", "veth", "peer", "name", "eth")
        self.run("gw", *link, "netns", self.name(host))
        for where, device, of in (("gw", interface, gateway), (host, "eth", address)):
            self.run(where, "ip", "addr", "add", f"{of}/24", "dev", device)
            self.run(where, "ip", "link", "set", device, "up")

    def down(self) -> None:
        for host in ("in", "gw", "out"):
            subprocess.run(
                ["ip", "netns", "del", self.name(host)], check=False, capture_output=True
            )


@contextmanager
def network() -> Iterator[Network]:
    """Gone afterwards, whatever happened; what a bench that was killed has left goes now."""
    for name in _run("ip", "netns", "list").split():
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and not Path("/proc", pid).exists():
            subprocess.run(["ip", "netns", "del", name], check=False)
    made = Network()
    try:
        made.up()
        yield made
    finally:
        made.down()


def _run(*command: str, given: str | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=given)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout
