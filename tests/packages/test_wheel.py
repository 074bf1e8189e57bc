"""The wheel, in a virtual environment of a clean Debian without a compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.conftest import Network
from tests.namespaces import within
from tests.packages.clean import Debian
from tests.packages.conftest import CONFIGURATION, VIEWS, Get
from tests.packages.test_pages import forwards
from tests.packages.test_service import eventually, fetch

PLACE = "/opt/ipmasq"
EVERYBODYS = ("PIPX_HOME=/opt/pipx", "PIPX_BIN_DIR=/usr/local/bin")
"""Where pipx puts programs that are not for one user alone."""


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Debian:
    """A clean Debian with the wheel in a virtual environment."""
    made = Debian(tmp_path_factory.mktemp("bare"))
    made.put(wheel, f"/root/{wheel.name}")
    made.run("apt-get", "update", "-q")
    made.run("apt-get", "install", "-q", "-y", "--no-install-recommends", "python3-venv", "libbpf1")
    made.run("python3", "-m", "venv", PLACE)
    made.run(f"{PLACE}/bin/pip", "install", "--quiet", f"/root/{wheel.name}")
    return made


def test_a_service_of_a_virtual_environment_forwards_and_can_be_removed(
    bare: Debian, network: Network, server: Path, get: Get
):
    (server / "file").write_bytes(b"by pip" * 1000)
    program = f"{PLACE}/bin/ipmasq"
    with bare.booted(*within(network.name("gw"))) as machine:
        assert "wrote /etc/systemd/system/ipmasq.service" in machine.run(program, "install-service")
        assert "wrote" not in machine.run(program, "install-service"), "all is there"
        assert f"ExecStart={program} run" in machine.run(program, "install-service", "--print")
        machine.write("/etc/ipmasq/gateway.toml", VIEWS)
        machine.run("systemctl", "enable", "--now", "ipmasq", "ipmasq-web")
        assert "ebpf" in machine.run(program, "status"), machine.log()
        assert fetch(network, "--ftp-port", "-") == b"by pip" * 1000
        eventually(lambda: forwards(get), "the pages do not show the gateway")
        machine.run(program, "install-service", "--remove")
        for name in ("ipmasq", "ipmasq-web"):
            assert machine.ask("systemctl", "cat", name).returncode != 0
            assert machine.ask("id", name).returncode != 0
        assert machine.file("/etc/ipmasq/gateway.toml").read_text() == VIEWS
        assert not machine.file("/run/ipmasq").exists()


def test_pipx_installs_it_for_the_whole_host(
    wheel: Path, network: Network, tmp_path_factory: pytest.TempPathFactory
):
    made = Debian(tmp_path_factory.mktemp("pipx"))
    made.put(wheel, f"/root/{wheel.name}")
    made.run("apt-get", "update", "-q")
    made.run("apt-get", "install", "-q", "-y", "--no-install-recommends", "pipx", "libbpf1")
    made.run("env", *EVERYBODYS, "pipx", "install", f"/root/{wheel.name}")
    version = wheel.name.split("-")[1]
    assert made.run("ipmasq", "--version") == f"ipmasq {version}\n"
    with made.booted(*within(network.name("gw"))) as machine:
        program = "/usr/local/bin/ipmasq"
        assert "wrote /etc/systemd/system/ipmasq.service" in machine.run(program, "install-service")
        machine.write("/etc/ipmasq/gateway.toml", CONFIGURATION)
        machine.run("systemctl", "enable", "--now", "ipmasq")
        assert "203.0.113.1" in machine.run(program, "status"), machine.log()


def test_a_place_that_services_cannot_read_is_refused(bare: Debian, network: Network):
    with bare.booted(*within(network.name("gw"))) as machine:
        machine.run("cp", "-a", PLACE, "/root/venv")
        done = machine.ask("/root/venv/bin/python", "-m", "ipmasq", "install-service")
        assert done.returncode == 1
        assert "/root" in done.stderr
        assert "/opt" in done.stderr
        assert machine.ask("systemctl", "cat", "ipmasq").returncode != 0
