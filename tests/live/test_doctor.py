"""`ipmasq doctor` on hosts that are broken in one respect each: what it finds, and what works after `--fix`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ipmasq.control.client import Client
from ipmasq.planes.ebpf import libbpf
from tests.live.as_users import Started, started
from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, run
from tests.live.firewalls import DOCKER, SIZE, fetch, ftp_server, load
from tests.live.test_firewalls import IPTABLES_USUAL, NFT_MASQUERADES, NFT_ONE_SERVER, NFT_USUAL
from tests.live.test_tun import tcp_server, tcp_talk
from tests.live.waiting import eventually
from tests.planes.ebpf.compiled import compiled

pytestmark = pytest.mark.live

TOML = """
[gateway]
inside = ["10.0.0.0/24", "gi"]
outside = "go"

[control]
socket = "{socket}"
"""
PUBLISHED = f"""
[[forward]]
name = "web"
protocol = "tcp"
port = 80
to = "{INSIDE_HOST}:8080"
"""
SECOND = "10.1.0.2"

NFT_DROPS = """
table inet filter {
  chain forward {
    type filter hook forward priority filter; policy drop;
  }
}
"""
KUBERNETES = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""
NFT_HELPER = """
table ip raw {
  ct helper standard { type "ftp" protocol tcp; }
  chain prerouting {
    type filter hook prerouting priority raw;
    tcp dport 21 ct helper set "standard"
  }
}
"""

FOREIGN = Path(__file__).with_name("foreign.bpf.c")


class Doctor:
    """The command, and a gateway, on the gateway's host of a network."""

    def __init__(self, network: Network, directory: Path) -> None:
        self.network = network
        self.socket = str(directory / "control.sock")
        self.file = directory / "gateway.toml"
        self.links: list[int] = []
        """Descriptors that keep programs of other software attached."""
        self.write()

    def write(self, more: str = "", **changed: str) -> None:
        text = TOML.format(socket=self.socket)
        for key, value in changed.items():
            text = "\n".join(
                f"{key} = {value}" if line.startswith(f"{key} =") else line
                for line in text.splitlines()
            )
        self.file.write_text(text + more)

    def run(
        self, *arguments: str, before: tuple[str, ...] = ()
    ) -> tuple[int, list[dict[str, Any]]]:
        command = [*before, sys.executable, "-m", "ipmasq", "doctor", str(self.file), "--json"]
        command += ["--socket", self.socket, *arguments]
        with self.network.at("gw"):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)

    def found(self, *arguments: str) -> list[dict[str, Any]]:
        return self.run(*arguments)[1]

    def gateway(self) -> AbstractContextManager[Started]:
        return started(self.network, self.file, Path(self.socket))


@pytest.fixture
def doctor(network: Network, tmp_path: Path) -> Iterator[Doctor]:
    network.ip("gw", f"route add default via {REMOTE}")
    made = Doctor(network, tmp_path)
    yield made
    for descriptor in made.links:
        os.close(descriptor)


def test_nothing_is_found_on_a_host_where_all_is_well(doctor: Doctor) -> None:
    assert doctor.run() == (0, [])
    doctor.write(PUBLISHED)
    assert doctor.run() == (0, [])
    with doctor.gateway():
        assert doctor.run() == (0, [])
        assert ftp(doctor)


def test_what_keeps_no_traffic_from_passing_is_found_without_an_exit_code(doctor: Doctor) -> None:
    doctor.write("\n[timeouts]\nicmp = '1s'\n")
    code, (found,) = doctor.run()
    assert (code, found["hint"], found["subject"]) == (0, True, "configuration")


@dataclass
class Broken:
    """A host that is broken in one respect."""

    breaks: Callable[[Doctor], object]
    subject: str
    what: str
    fix: str
    works: Callable[[Doctor], object] | None = None
    """Shows that the gateway works after `--fix`."""


def rules(text: str, tool: str = "nft", published: bool = False) -> Callable[[Doctor], None]:
    def change(doctor: Doctor) -> None:
        load(doctor.network, text, tool)
        if published:
            doctor.write(PUBLISHED)

    return change


def ip(*commands: str) -> Callable[[Doctor], None]:
    def change(doctor: Doctor) -> None:
        for command in commands:
            doctor.network.ip("gw", command)

    return change


def connects(doctor: Doctor) -> bool:
    """Whether a connection is opened: to the published server if there is one, else from inside to outside."""
    network = doctor.network
    published = PUBLISHED in doctor.file.read_text()
    server, port = (("in", INSIDE_HOST), 8080) if published else (("out", REMOTE), 5000)
    tried = [("out", (PUBLIC, 80)), ("in", (PUBLIC, 80))] if published else [("in", (REMOTE, 5000))]
    with tcp_server(network, *server, port):
        return all(_connects(network, host, to) for host, to in tried)


def _connects(network: Network, host: str, to: tuple[str, int]) -> bool:
    with network.at(host):
        try:
            socket.create_connection(to, 1).close()
        except OSError:
            return False
    return True


def ftp(doctor: Doctor) -> bool:
    with ftp_server(doctor.network):
        return fetch(doctor.network, True) == fetch(doctor.network, False) == 2 * SIZE


def web(host: str, seen_as: str) -> Callable[[Doctor], bool]:
    def works(doctor: Doctor) -> bool:
        with tcp_server(doctor.network, "in", INSIDE_HOST, 8080) as server:
            return tcp_talk(doctor.network, host, (PUBLIC, 80), server) == seen_as

    return works


def second_network(doctor: Doctor) -> None:
    """Another network on the inside wire, to which the host has no route."""
    doctor.network.ip("in", f"addr add {SECOND}/32 dev eth")
    doctor.network.ip("in", f"route replace default via 10.0.0.1 src {SECOND}")
    doctor.write(inside='["10.0.0.0/24", "10.1.0.0/24", "gi"]')


def wrong_length(doctor: Doctor) -> None:
    doctor.network.ip("gw", "addr del 10.0.0.1/24 dev gi")
    doctor.network.ip("gw", "addr add 10.0.0.1/32 dev gi")


def outside_down(doctor: Doctor) -> None:
    doctor.network.ip("gw", "link set go down")


def program(doctor: Doctor) -> None:
    with doctor.network.at("gw"):
        run("tc", "qdisc", "add", "dev", "go", "clsact")
        code = ("bytecode", "1,6 0 0 0", "classid", "1")
        run("tc", "filter", "add", "dev", "go", "ingress", "bpf", *code)


def linked_program(doctor: Doctor) -> None:
    """A program of other software at a TCX hook, as Cilium has it. It lives as long as this test."""
    loaded = libbpf.Object(compiled(FOREIGN), {})
    with doctor.network.at("gw"):
        index = socket.if_nametoindex("go")
        made = libbpf.link(loaded.program("foreign"), index, libbpf.BPF_TCX_INGRESS)
    doctor.links.append(made)


def strict(doctor: Doctor) -> None:
    doctor.network.ip("gw", "link add other type veth peer name another")
    doctor.network.ip("gw", "addr add 192.0.2.1/24 dev other")
    doctor.network.ip("gw", "link set another up")
    doctor.network.ip("gw", "link set other up")
    doctor.network.ip("gw", "route replace default via 192.0.2.2")
    with doctor.network.at("gw"):
        Path("/proc/sys/net/ipv4/conf/go/rp_filter").write_text("1")


BROKEN = {
    "nftables drops": Broken(
        rules(NFT_DROPS),
        "firewall",
        "nft inet filter, chain forward",
        "nft add rule inet filter forward",
        ftp,
    ),
    "docker": Broken(rules(DOCKER, "iptables-nft"), "firewall", "Docker", "DOCKER-USER", ftp),
    "kubernetes": Broken(
        rules(KUBERNETES, "iptables-nft"), "firewall", "Kubernetes", "iptables -A FORWARD", ftp
    ),
    "iptables-legacy": Broken(
        rules(IPTABLES_USUAL.replace("-A FORWARD -i gi -o go -j ACCEPT\n", ""), "iptables-legacy"),
        "firewall",
        "iptables-legacy filter, chain FORWARD",
        "iptables-legacy -A FORWARD",
        ftp,
    ),
    "a published server": Broken(
        rules(NFT_USUAL, published=True), "firewall", "go -> gi", "accept", web("out", REMOTE)
    ),
    "hairpinning": Broken(
        rules(NFT_USUAL, published=True),
        "firewall",
        "gi -> ipmasq-in",
        "ipmasq-in",
        web("in", PUBLIC),
    ),
    "inside is down": Broken(
        ip("link set gi down"), "interfaces", "gi is down", "ip link set dev gi up", ftp
    ),
    "outside is down": Broken(
        outside_down, "interfaces", "go is down", "ip link set dev go up", ftp
    ),
    "no route inside": Broken(
        second_network,
        "routes",
        "10.1.0.0/24 leave by go",
        "ip route replace 10.1.0.0/24 dev gi",
        ftp,
    ),
    "wrong prefix length": Broken(
        wrong_length,
        "routes",
        "10.0.0.0/24 leave by go",
        "ip route replace 10.0.0.0/24 dev gi",
        ftp,
    ),
    "strict rp_filter": Broken(
        strict, "rp_filter", "rp_filter of go is strict", "net/ipv4/conf/go/rp_filter=2"
    ),
    "no default route": Broken(
        ip("route del default"), "routes", "no default route", "ip route replace default via"
    ),
    "the kernel masquerades": Broken(
        rules(NFT_MASQUERADES),
        "firewall",
        "masquerades what leaves by go",
        "nft delete rule ip nat",
    ),
    "a helper of the kernel": Broken(
        rules(NFT_HELPER),
        "kernel helpers",
        "assigns a helper",
        "nft delete rule ip raw prerouting handle",
    ),
    "one server is dropped": Broken(
        rules(NFT_ONE_SERVER, published=True),
        "firewall",
        "handle 5 drops it",
        "nft insert rule inet filter",
    ),
    "no address outside": Broken(
        ip("addr flush dev go"), "interfaces", "go has no IPv4 address", "ip addr add"
    ),
    "another program": Broken(program, "programs", "filter at ingress", "tc filter show dev go"),
    "another program by a link": Broken(
        linked_program, "programs", "TCX program at ingress, foreign", "bpftool net show dev go"
    ),
    "a smaller MTU outside": Broken(
        ip("link set go mtu 1400"), "MTU", "1400 bytes at most", "maxseg size set rt mtu"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_with_its_fix_and_works_with_it(doctor: Doctor, name: str) -> None:
    broken = BROKEN[name]
    broken.breaks(doctor)
    code, found = doctor.run()
    assert code == 1
    fitting = [each for each in found if each["subject"] == broken.subject]
    assert broken.what in str([each["what"] for each in fitting])
    assert broken.fix in str([each["fix"] for each in fitting])
    assert all(each["effect"] for each in found)
    if broken.works is None:
        return
    with doctor.gateway():
        assert not connects(doctor)
        assert any("done: " in each.get("done", "") for each in doctor.found("--fix"))
        assert broken.subject not in [each["subject"] for each in doctor.found()]
        assert broken.works(doctor)


def test_where_packets_pass_the_firewall_twice_in_spite_of_programs_the_same_is_found_as_status_says(
    doctor: Doctor,
) -> None:
    rule = 'iifname "gi" oifname "go" tcp dport 25 drop'  # no packet passes there meanwhile
    load(doctor.network, NFT_MASQUERADES)
    load(doctor.network, NFT_USUAL.replace("counter drop", f"counter drop; {rule}"))
    with doctor.gateway():
        assert eventually(lambda: status(doctor)["firewall_passed"] == "twice")
        assert eventually(lambda: "forbids something" in str(status(doctor)["firewall"]))
        said = status(doctor)["firewall"]
        found = [each["what"] for each in doctor.found() if each["subject"] == "firewall"]
        assert all(text.startswith(what) for text, what in zip(said, found, strict=True))


def status(doctor: Doctor) -> dict[str, Any]:
    with Client(doctor.socket) as gateway:
        return dict(next(gateway.rows("status")))


def test_a_forward_that_was_added_while_the_gateway_runs_is_looked_at(doctor: Doctor) -> None:
    load(doctor.network, NFT_USUAL)
    with doctor.gateway():
        assert doctor.run() == (0, [])
        command = [sys.executable, "-m", "ipmasq", "forward", "add", "tcp", "80"]
        command += [f"{INSIDE_HOST}:8080", "--name", "web", "--socket", doctor.socket]
        with doctor.network.at("gw"):
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        found = [each for each in doctor.found() if each["subject"] == "firewall"]
        assert found
        doctor.found("--fix")
        assert doctor.run() == (0, [])


def test_a_right_that_not_even_root_has_is_found(doctor: Doctor) -> None:
    without = ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")
    code, found = doctor.run(before=without)
    assert code == 1
    (right,) = [each for each in found if each.get("subject") == "kernel"]
    assert "CAP_NET_ADMIN" in right["what"]
    assert any("left_out" in each for each in found), "what it may not examine without it"
    assert "--cap-add NET_ADMIN" in right["fix"]


def test_a_mistake_in_the_file_is_found_with_its_line(doctor: Doctor) -> None:
    doctor.write("\n[limits]\nflow = 3\n")
    code, (found,) = doctor.run()
    assert code == 1
    assert "gateway.toml, line 10" in found["fix"]


def test_a_file_that_is_not_there_is_to_be_written_by_setup(doctor: Doctor) -> None:
    doctor.file.unlink()
    code, (found,) = doctor.run()
    assert (code, found["fix"]) == (1, f"ipmasq setup {doctor.file}")


def test_ports_that_run_short_are_found_at_the_running_gateway(doctor: Doctor) -> None:
    doctor.write(outside='"go"\nports = "40000-40004"')
    with doctor.gateway(), doctor.network.at("in"):
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
        for each in sockets:
            each.sendto(b"ask", (REMOTE, 5000))
        assert eventually(lambda: "limits" in [each["subject"] for each in doctor.found()])
        for each in sockets:
            each.close()


def test_what_a_killed_gateway_left_is_found_and_the_next_start_takes_it_over(
    doctor: Doctor,
) -> None:
    with doctor.gateway() as gateway:
        gateway.process.kill()
        gateway.process.wait(10)
        (found,) = [each for each in doctor.found() if each["subject"] == "leftovers"]
        assert "ipmasq run" in found["fix"]
        assert "ipmasq undo" in found["fix"]
        assert "forwards established flows for the grace time" in found["effect"]
        Path(doctor.socket).unlink(missing_ok=True)
    with doctor.gateway():
        assert doctor.run() == (0, [])


NFT_WEB_ONLY = NFT_USUAL.replace(
    'iifname "gi" oifname "go" accept',
    'iifname "gi" oifname "go" meta l4proto udp udp dport 53 accept; '
    'iifname "gi" oifname "go" tcp dport { 80, 443 } accept',
)


def test_what_the_firewall_forbids_inside_hosts_is_said_and_nothing_is_wrong(
    doctor: Doctor,
) -> None:
    load(doctor.network, NFT_WEB_ONLY)
    code, (found,) = doctor.run("--fix")
    assert code == 0
    assert (found["hint"], found["safe"]) == (True, False)
    assert "inside hosts may not use FTP (tcp 21): nft inet filter, chain forward" in found["what"]
    command = [sys.executable, "-m", "ipmasq", "doctor", str(doctor.file)]
    with doctor.network.at("gw"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "hint: firewall: inside hosts may not use FTP (tcp 21)" in done.stdout
    assert "\nnothing was found that keeps traffic from passing; 1 hint\n" in done.stdout
    assert done.stdout.endswith("ask `ipmasq explain PROTOCOL SOURCE DESTINATION`.\n")


def test_people_are_told_what_is_wrong_what_it_does_and_what_to_do(doctor: Doctor) -> None:
    doctor.network.ip("gw", "link set gi down")
    command = [sys.executable, "-m", "ipmasq", "doctor", str(doctor.file)]
    with doctor.network.at("gw"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "interfaces: gi is down." in done.stdout
    assert "effect: inside hosts behind it are not reached." in done.stdout
    assert "fix (safe): ip link set dev gi up" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "/" not in line)
