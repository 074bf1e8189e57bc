"""What is built and installed once for all tests of packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.live.conftest import Network
from tests.namespaces import within
from tests.packages.clean import ROOT, Debian, Machine, finish

CONFIGURATION = """\
[gateway]
inside = "gi"
outside = "go"
"""

VIEWS = CONFIGURATION + '\n[control]\nview_group = "ipmasq-web"\n'

Get: TypeAlias = Callable[..., str]
"""Fetch a path of the pages from a host of the network: `get("/", "gw")`; empty if there is no answer."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)
            item.add_marker(pytest.mark.packages)


def tree_status() -> str:
    """What of the source tree is changed, and which files are new."""
    return finish(["git", "-C", str(ROOT), "status", "--porcelain"])


@pytest.fixture(scope="session")
def tree_before() -> str:
    """The state of the source tree before anything is built."""
    return tree_status()


@pytest.fixture(scope="session")
def wheel(tree_before: str) -> Path:
    return Path(finish([str(ROOT / "tools" / "wheel")]).split()[-1])


@pytest.fixture(scope="session")
def package(wheel: Path) -> Path:
    """The Debian package."""
    return Path(finish([sys.executable, str(ROOT / "tools" / "deb.py")]).split()[-1])


@pytest.fixture(scope="session")
def debian(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Debian:
    """A clean Debian in which the package has been installed as a user does."""
    made = Debian(tmp_path_factory.mktemp("debian"))
    made.put(package, "/root/ipmasq.deb")
    made.run("apt-get", "update", "-q")
    made.run("apt-get", "install", "-q", "-y", "--no-install-recommends", "/root/ipmasq.deb")
    return made


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = Network()
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def machine(debian: Debian, network: Network) -> Iterator[Machine]:
    """The Debian with the package, as the gateway between an inside and an outside host."""
    with debian.booted(*within(network.name("gw"))) as running:
        yield running


@pytest.fixture(scope="module")
def service(machine: Machine) -> Machine:
    """The machine with the service configured and started."""
    machine.write("/etc/ipmasq/gateway.toml", CONFIGURATION)
    machine.run("systemctl", "start", "ipmasq")
    return machine


@pytest.fixture
def get(network: Network) -> Get:
    def fetch(path: str, host: str = "gw", address: str = "127.0.0.1", *options: str) -> str:
        command = ["curl", "-s", "--max-time", "5", *options, f"http://{address}:8470{path}"]
        asked = [*within(network.name(host)), *command]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout

    return fetch


@pytest.fixture(scope="module")
def server(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An FTP server on the outside host. What is in the directory can be fetched from it."""
    directory = tmp_path_factory.mktemp("ftp")
    settings = directory / "vsftpd.conf"
    shared = directory / "shared"
    shared.mkdir(mode=0o755)
    Path("/run/vsftpd/empty").mkdir(parents=True, exist_ok=True)
    settings.write_text(
        "background=NO\nlisten=YES\nseccomp_sandbox=NO\nanonymous_enable=YES\nlocal_enable=NO\n"
        f"isolate_network=NO\nisolate=NO\nanon_root={shared}\nport_enable=YES\n"
    )
    for above in (directory, *directory.parents[:2]):
        above.chmod(0o755)
    process = subprocess.Popen([*within(network.name("out")), "vsftpd", str(settings)])
    yield shared
    process.terminate()
    process.wait()
