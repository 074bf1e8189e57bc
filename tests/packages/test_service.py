"""The service of the Debian package, run by systemd with its least privileges."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.conftest import REMOTE, Network, trace
from tests.namespaces import within
from tests.packages.clean import Machine
from tests.packages.conftest import CONFIGURATION

CAPABILITIES = {"net_admin": 12, "net_raw": 13, "perfmon": 38, "bpf": 39}
"""<linux/capability.h>"""


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def fetch(network: Network, *options: str) -> bytes:
    """Fetch a file by FTP from inside."""
    command = ["curl", "-sS", "--max-time", "20", *options, f"ftp://{REMOTE}/file"]
    done = subprocess.run([*within(network.name("in")), *command], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def plane(machine: Machine, name: str) -> None:
    """Restart the service with another plane."""
    machine.write("/etc/ipmasq/gateway.toml", CONFIGURATION + f'plane = "{name}"\n')
    machine.run("systemctl", "restart", "ipmasq")


@pytest.fixture
def usual(service: Machine) -> Iterator[Machine]:
    """The service, which runs with the usual configuration again afterwards."""
    yield service
    service.write("/etc/ipmasq/gateway.toml", CONFIGURATION)
    service.run("systemctl", "restart", "ipmasq")


def test_the_service_runs_as_its_own_user_with_four_capabilities(service: Machine):
    status = service.file(f"/proc/{service.show('MainPID')}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    user = int(service.run("id", "-u", "ipmasq"))
    assert user != 0
    assert facts["Uid"].split() == [str(user)] * 4
    wanted = sum(1 << number for number in CAPABILITIES.values())
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == wanted
    assert facts["NoNewPrivs"] == "1"


@pytest.mark.parametrize("name", ["tun", "ebpf-tc", "ebpf-xdp-generic"])
def test_an_active_transfer_passes_the_service_on_every_plane(
    usual: Machine, network: Network, server: Path, name: str
):
    (server / "file").write_bytes(name.encode() * 100_000)
    plane(usual, name)
    assert name.partition("-")[0] in usual.run("ipmasq", "status")
    assert fetch(network, "--ftp-port", "-") == name.encode() * 100_000
    assert fetch(network) == name.encode() * 100_000


def test_the_service_lacks_nothing_that_it_would_do_without(service: Machine):
    assert "for the host itself pass its input hook as from" not in service.log()


def test_a_reload_applies_a_changed_file_and_fails_for_a_faulty_one(usual: Machine):
    forward = '[[forward]]\nname = "web"\nport = 80\nto = "10.0.0.2"\n'
    usual.write("/etc/ipmasq/gateway.toml", CONFIGURATION + forward)
    usual.run("systemctl", "reload", "ipmasq")
    eventually(lambda: "web" in usual.run("ipmasq", "show", "forwards"), usual.log())
    usual.write("/etc/ipmasq/gateway.toml", CONFIGURATION + forward.replace("80", "'no port'"))
    assert usual.ask("systemctl", "reload", "ipmasq").returncode != 0
    assert "no port" in usual.log()
    assert usual.show("ActiveState") == "active"
    assert "web" in usual.run("ipmasq", "show", "forwards")


def is_restarted(service: Machine, before: int) -> bool:
    return int(service.show("NRestarts")) > before and service.show("ActiveState") == "active"


@pytest.mark.parametrize("name", ["tun", "ebpf-tc"])
@pytest.mark.parametrize("how", ["restart", "kill", "upgrade"])
def test_a_transfer_goes_on_when_the_service_is_restarted_killed_or_upgraded(
    usual: Machine, network: Network, server: Path, tmp_path: Path, name: str, how: str
):
    plane(usual, name)
    (server / "file").write_bytes(name.encode() * 1_000_000)
    target = tmp_path / "file"
    command = ["curl", "-sS", "--max-time", "60", "--limit-rate", "1M", "--ftp-port", "-"]
    active = [*within(network.name("in")), *command, "-o", str(target), f"ftp://{REMOTE}/file"]
    before = int(usual.show("NRestarts"))
    with subprocess.Popen(active, stderr=subprocess.PIPE) as transfer:
        eventually(lambda: target.exists() and target.stat().st_size > 100_000, "it did not begin")
        if how == "restart":
            usual.run("systemctl", "restart", "ipmasq")
        elif how == "upgrade":
            check_upgrade(usual)
        else:
            # Without the process that keeps the devices the host would answer, with resets.
            usual.kill_service("main")
            eventually(lambda: is_restarted(usual, before), "it was not restarted")
        _, errors = transfer.communicate(timeout=60)
    assert transfer.returncode == 0, f"{errors!r}, {target.stat().st_size:,} bytes\n{usual.log()}"
    assert target.read_bytes() == name.encode() * 1_000_000
    eventually(lambda: "was restored" in usual.log(), "it did not say that state was restored")


def test_xdp_is_back_when_the_predecessor_has_ended(usual: Machine, network: Network, server: Path):
    """The service may not pin its programs, and two of them cannot be in one place."""
    plane(usual, "ebpf-xdp-generic")
    eventually(lambda: "xdp" in usual.run("ipmasq", "status"), usual.log())
    check_upgrade(usual)
    eventually(lambda: "xdp" in usual.run("ipmasq", "status"), usual.log())
    (server / "file").write_bytes(b"after an upgrade")
    assert fetch(network, "--ftp-port", "-") == b"after an upgrade"


def check_upgrade(service: Machine) -> None:
    """Another process becomes the service's main process, twice, and systemd starts none itself."""
    for _ in range(2):
        process, restarts = service.show("MainPID"), service.show("NRestarts")
        said = service.run("ipmasq", "upgrade")
        eventually(lambda: service.show("MainPID") not in (process, "0"), service.log())  # noqa: B023
        assert f"process {service.show('MainPID')} has taken over" in said
        assert (service.show("ActiveState"), service.show("NRestarts")) == ("active", restarts)


def test_a_faulty_configuration_is_told_to_who_upgrades_and_the_service_goes_on(usual: Machine):
    process = usual.show("MainPID")
    usual.write("/etc/ipmasq/gateway.toml", CONFIGURATION + "mistake = 1\n")
    done = usual.ask("ipmasq", "upgrade")
    assert done.returncode == 1
    assert "mistake" in done.stderr
    assert (usual.show("MainPID"), usual.show("ActiveState")) == (process, "active")


def test_a_killed_gateway_is_started_again_and_works(
    service: Machine, network: Network, server: Path
):
    # Only the count of restarts tells the next process from the killed one: just after the signal the service still
    # counts as active, and its main process as 0.
    before = int(service.show("NRestarts"))
    service.kill_service()
    eventually(lambda: is_restarted(service, before), "it was not restarted")
    (server / "file").write_bytes(b"again")
    assert fetch(network, "--ftp-port", "-") == b"again"


def test_systemd_waits_for_the_watchdog_and_for_readiness(service: Machine):
    assert service.show("Type") == "notify"
    assert service.show("WatchdogUSec") == "20s"
    assert int(service.show("WatchdogTimestampMonotonic")) > 0


def test_a_faulty_configuration_is_said_once_and_not_tried_again(usual: Machine):
    usual.write("/etc/ipmasq/gateway.toml", CONFIGURATION + "mistake = 1\n")
    assert usual.ask("systemctl", "restart", "ipmasq").returncode != 0
    assert usual.show("ActiveState") == "failed"
    assert usual.show("ExecMainStatus") == "3"
    assert "mistake" in usual.log()


def test_nothing_of_the_system_can_be_written_but_settings_of_the_network(service: Machine):
    pid = service.show("MainPID")
    inside = ["nsenter", f"--target={pid}", "--mount"]

    def writable(path: str) -> bool:
        return service.ask(*inside, "test", "-w", path).returncode == 0

    closed = ("/etc/ipmasq", "/usr", "/var", "/proc/sys/kernel", "/sys/class", "/boot")
    assert [path for path in closed if writable(path)] == []
    assert writable("/run/ipmasq")
    assert writable("/var/log/ipmasq")
    assert writable("/proc/sys/net/ipv4/ip_forward")


def test_a_stopped_service_leaves_the_host_as_it_was(
    machine: Machine, network: Network, usual: Machine
):
    machine.run("systemctl", "stop", "ipmasq")
    before = trace(network)
    machine.run("systemctl", "start", "ipmasq")
    assert trace(network) != before
    machine.run("systemctl", "stop", "ipmasq")
    assert trace(network) == before


def test_a_service_that_was_ended_by_the_command_is_not_started_again(
    machine: Machine, network: Network, usual: Machine
):
    machine.run("systemctl", "stop", "ipmasq")
    before = trace(network)
    for options, said in (["--keep"], "waits for a successor"), ([], "has ended"):
        machine.run("systemctl", "start", "ipmasq")
        assert said in machine.run("ipmasq", "stop", *options)
        eventually(lambda: usual.show("SubState") == "dead", "it was started again")
        assert (usual.show("Result"), usual.show("NRestarts")) == ("success", "0")
    assert trace(network) == before


ASK_DOCTOR = """\
import json, sys
sys.path.insert(0, "/usr/lib/ipmasq")
from ipmasq.control.client import Client
with Client(sys.argv[1]) as client:
    print(json.dumps(next(client.rows("doctor"))))
"""


def test_the_service_examines_its_host_for_others(service: Machine):
    """By a process of its own, for which the unit leaves enough."""
    service.write("/root/ask.py", ASK_DOCTOR)
    socket = service.run("sh", "-c", "ls /run/ipmasq/control*.sock").strip()
    found = json.loads(service.run("python3", "/root/ask.py", socket))
    assert found["examined"] > 0
    assert [text for text in found["left_out"] if "CAP_NET_ADMIN" in text] == []
    assert [text for text in found["left_out"] if "CAP_SYS_ADMIN" in text] != []
