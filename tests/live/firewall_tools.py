"""firewalld and ufw as they run on a router, in the gateway's network namespace and with a /run and an /etc of
their own: the host's are not touched."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.live.conftest import Network
from tests.live.waiting import eventually

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""

PRIVATE = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/firewalld /run/lock
for each in /etc/firewalld /etc/ufw /etc/default; do
    mkdir -p /run/copy$each
    cp -a $each/. /run/copy$each
    mount --bind /run/copy$each $each
done
"""
FIREWALLD = f"""
cat > /run/bus.conf <<'END'
{BUS}END
dbus-daemon --config-file=/run/bus.conf --nofork 2>/run/bus.log &
while [ ! -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
exec firewalld --nofork --nopid --log-target console
"""


class Tool:
    """Where a firewall's own commands are to be typed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        pid = f"--pid=/proc/{process.pid}/ns/pid_for_children"
        # The root, too: in a chroot it is not that of the mount namespace.
        target = f"--target={process.pid}"
        self._enter = ["nsenter", target, "--mount", "--root", "--wd", "--net", pid]

    def type(self, command: str) -> None:
        done = self._run(command)
        assert done.returncode == 0, f"{command}: {done.stdout}"

    def works(self, command: str) -> bool:
        return self._run(command).returncode == 0

    def add(self, remedy: str) -> None:
        """Do what was said to be done, exactly."""
        adding = remedy.removeprefix("add: ").partition("; or delete: ")[0]
        self.type(adding.removeprefix("delete: "))

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._enter, "sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def _private(network: Network, script: str) -> Iterator[Tool]:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here: the root directory is no mount point")
    # A PID namespace: whatever is started in it ends with its first process.
    command = ["unshare", "--mount", "--pid", "--kill-child", "--fork", "--mount-proc", "sh", "-c"]
    process = network.start("gw", *command, PRIVATE + script, stdin=subprocess.DEVNULL)
    try:
        yield Tool(process)
    finally:
        process.kill()
        process.communicate(timeout=10)


@contextmanager
def firewalld(network: Network) -> Iterator[Tool]:
    """With the zones of a router: `gi` in `internal`, `go` in `external`, which masquerades."""
    with _private(network, FIREWALLD) as tool:
        assert eventually(lambda: tool.works("firewall-cmd --state"))
        for zone, name in (("internal", "gi"), ("external", "go")):
            tool.type(f"firewall-cmd --permanent --zone={zone} --change-interface={name}")
        tool.type("firewall-cmd --reload")
        yield tool


@contextmanager
def ufw(network: Network) -> Iterator[Tool]:
    """With its defaults: what comes in and what is forwarded is dropped."""
    with _private(network, "exec sleep 600") as tool:
        assert eventually(lambda: tool.works("mountpoint -q /run && mountpoint -q /etc/default"))
        tool.type("ufw --force enable")
        yield tool
