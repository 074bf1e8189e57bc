"""`ipmasq setup` on hosts as people have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network
from tests.live.firewalls import DOCKER, load

pytestmark = pytest.mark.live

Done = subprocess.CompletedProcess[str]


class Setup:
    def __init__(self, network: Network, directory: Path) -> None:
        self.network = network
        self.file = directory / "gateway.toml"

    def run(self, *arguments: str, answers: str = "") -> Done:
        return self._ipmasq("setup", str(self.file), *arguments, answers=answers)

    def check(self) -> str:
        return self._ipmasq("check", str(self.file)).stdout

    def _ipmasq(self, *arguments: str, answers: str = "") -> Done:
        command = [sys.executable, "-m", "ipmasq", *arguments]
        with self.network.at("gw"):
            return subprocess.run(
                command, input=answers, capture_output=True, text=True, timeout=60, check=False
            )

    def line(self, key: str) -> str:
        (found,) = (x for x in self.file.read_text().splitlines() if x.startswith(f"{key} ="))
        return found


@pytest.fixture
def setup(network: Network, tmp_path: Path) -> Setup:
    network.ip("gw", f"route add default via {REMOTE}")
    return Setup(network, tmp_path)


def add_interface(network: Network, name: str, address: str) -> None:
    network.ip("gw", f"link add {name} type veth peer name far{name}"[:60])
    for each in (name, f"far{name}"):
        network.ip("gw", f"link set {each} up")
    network.ip("gw", f"addr add {address} dev {name}")


def test_a_plain_router_is_set_up_without_a_question(setup: Setup) -> None:
    done = setup.run("--yes")
    assert done.returncode == 0, done.stderr
    assert (setup.line("inside"), setup.line("outside")) == ('inside = ["gi"]', 'outside = "go"')
    assert setup.check() == "0 errors, 0 warnings\n"
    assert f"outside: go ({PUBLIC}/24)" in done.stdout
    assert f"ipmasq run {setup.file}" in done.stdout


def test_an_existing_file_is_replaced_only_by_force(setup: Setup) -> None:
    setup.file.write_text("mine")
    refused = setup.run("--yes")
    assert (refused.returncode, setup.file.read_text()) == (1, "mine")
    assert "--force" in refused.stderr
    assert setup.run("--yes", "--force").returncode == 0
    assert setup.check() == "0 errors, 0 warnings\n"


def test_three_questions_are_asked_and_their_answers_are_written(setup: Setup) -> None:
    add_interface(setup.network, "guest", "10.2.0.1/24")
    done = setup.run(answers=f"go\nguest gi\n{INSIDE_HOST}\n")
    assert done.returncode == 0, done.stderr
    assert setup.line("inside") == 'inside = ["guest", "gi"]'
    assert setup.line("to") == f'to = "{INSIDE_HOST}:21"'
    assert done.stdout.count("?") + done.stdout.count("]: ") <= 3
    assert setup.check() == "0 errors, 0 warnings\n"


def test_two_inside_networks_are_both_masqueraded(setup: Setup) -> None:
    add_interface(setup.network, "guest", "10.2.0.1/24")
    assert setup.run("--yes").returncode == 0
    assert sorted(setup.line("inside").split('"')[1::2]) == ["gi", "guest"]
    assert setup.check() == "0 errors, 0 warnings\n"


def test_without_a_default_route_it_is_said_what_to_do_and_nothing_is_written(
    setup: Setup,
) -> None:
    setup.network.ip("gw", "route del default")
    done = setup.run("--yes")
    assert (done.returncode, setup.file.exists()) == (1, False)
    assert "this host has no default route" in done.stderr
    assert setup.run("--yes", "--outside", "go").returncode == 0


def test_a_host_with_one_interface_is_told_what_it_lacks(setup: Setup) -> None:
    setup.network.ip("gw", "link del gi")
    done = setup.run("--yes")
    assert (done.returncode, setup.file.exists()) == (1, False)
    assert "go, which is the outside one; connect a second one" in done.stderr


def test_an_outside_link_to_one_peer_is_enough(setup: Setup) -> None:
    """As PPP makes it: a single address, and a route without a router."""
    setup.network.ip("gw", "addr flush dev go")
    setup.network.ip("gw", f"addr add {PUBLIC} peer {REMOTE} dev go")
    setup.network.ip("gw", "link set go arp off")
    setup.network.ip("gw", "route replace default dev go")
    assert setup.run("--yes").returncode == 0
    assert setup.line("outside") == 'outside = "go"'
    assert setup.check() == "0 errors, 0 warnings\n"


def test_dockers_bridge_is_left_alone_and_its_rules_are_said(setup: Setup) -> None:
    add_interface(setup.network, "docker0", "172.17.0.1/16")
    load(setup.network, DOCKER, "iptables-nft")
    done = setup.run("--yes")
    assert done.returncode == 0, done.stderr
    assert setup.line("inside") == 'inside = ["gi"]'
    assert "left as it is: docker0 (172.17.0.1/16)" in done.stdout
    assert "found: firewall" in done.stdout
    assert "ipmasq doctor" in done.stdout


def test_a_server_that_cannot_be_published_is_refused_before_anything_is_written(
    setup: Setup,
) -> None:
    done = setup.run("--yes", "--publish", "nonsense")
    assert (done.returncode, setup.file.exists()) == (2, False)
    assert "10.0.0.2:21" in done.stderr


@pytest.mark.parametrize("option", ["--inside", "--outside"])
def test_an_interface_that_is_not_there_is_named(setup: Setup, option: str) -> None:
    done = setup.run(option, "nope")
    assert done.returncode == 2
    assert done.stderr.startswith("ipmasq: there is no interface nope; there are ")
    assert not setup.file.exists()
