"""What only shows on a certain machine."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.config import Report, access, check, load, review
from ipmasq.core.policy import PortRange
from ipmasq.wire.addresses import Address, to_text
from tests.config.marked import GATEWAY, HERE, assert_found_as_marked, host


def gateway(inside: str, outside: str, more: str = "") -> str:
    return f"[gateway]\ninside = {inside}\noutside = {outside}\n{more}\n"


def test_a_file_that_fits_the_machine_has_nothing_to_be_said(tmp_path: Path):
    assert_found_as_marked(tmp_path, GATEWAY, HERE)
    assert_found_as_marked(tmp_path, gateway('"eth1"', '"eth0"'), HERE)


@pytest.mark.parametrize(
    "text",
    [
        gateway('["eth1"]', '"lo"  #? is the loopback interface: nobody can be reached by it'),
        gateway('["bare"]  #? bare has no IPv4 address', '"eth0"'),
        gateway('["eth1"]', '"bare"  #? bare has no IPv4 address now; nobody is masqueraded'),
        gateway('["10.7.0.0/24"]  #? no interface of this machine has an address in it', '"eth0"'),
        gateway('["10.7.0.0/24", "eth1"]', '"eth0"'),
        '[gateway]\ninside = "eth1"\npublic = "192.0.2.7"  #? no interface of this machine is in reach',
        '[gateway]\ninside = "eth1"\npublic = "203.0.113.7"',
    ],
)
def test_a_name_or_network_that_the_machine_lacks_is_doubtful_not_wrong(tmp_path: Path, text: str):
    """And without the machine there is nothing to be said, as the file may be for another one."""
    assert_found_as_marked(tmp_path, text, HERE)
    assert check(tmp_path / "gateway.toml") == Report()


@pytest.mark.parametrize(
    "text",
    [
        gateway('["eth7"]  #! this machine has no interface eth7; did you mean "eth1"', '"eth0"'),
        gateway('["eth1@if7"]  #! no interface eth1@if7; did you mean "eth1"?', '"eth0"'),
        gateway('["eth1", "Eth7"]  #! no interface Eth7; did you mean "eth1"?', '"eth0"'),
        gateway('["eth1"]', '"wan"  #! no interface wan; it has eth0, eth1, bare'),
        gateway('["eth1"]', '"eth7"  #! this machine has no interface eth7'),
        gateway('["wan"]  #! no interface wan', '"lan"  #! no interface lan'),
    ],
)
def test_an_interface_that_the_machine_lacks_is_a_mistake_of_which_another_machine_knows_nothing(
    tmp_path: Path, text: str
):
    assert_found_as_marked(tmp_path, text, HERE)
    assert check(tmp_path / "gateway.toml") == Report()


def test_for_a_gateway_that_starts_an_inside_interface_may_still_come_and_the_outside_one_may_not(
    tmp_path: Path,
):
    file = tmp_path / "gateway.toml"
    file.write_text(gateway('["eth1", "wlan0"]', '"eth0"'))
    report = review(load(file), HERE, starting=True)
    assert report.is_good
    assert "no interface wlan0" in report.text()
    file.write_text(gateway('["eth1"]', '"eth9"'))
    assert not review(load(file), HERE, starting=True).is_good


BOTH = "#! eth0 is the outside interface; name the one that the inside hosts are behind"
ONLY = (
    "#? only eth0, the outside interface, has an address in it; name the inside interface as well"
)
NEAR, FAR = 'public = "203.0.113.7"', 'public = "198.51.100.1"'
NONE = "#? no interface of this machine has an address in it; name the inside interface as well"
PUBLIC = "#? 203.0.113.0/24 is not a private network"


@pytest.mark.parametrize(
    "text",
    [
        gateway(f'"eth0"  {BOTH}', '"eth0"'),
        gateway(f'[\n"eth1",\n"eth0",  {BOTH}\n]', '"eth0"'),
        gateway(f'"eth0"  {BOTH}', '"eth0"', NEAR),
        f'[gateway]\ninside = "eth0"  {BOTH}\n{NEAR}\n',
        gateway(f'"203.0.113.0/24"  {ONLY} {PUBLIC}', '"eth0"', FAR),
        gateway(f'[\n"10.7.0.0/24",  {NONE}\n"203.0.113.0/24",  {ONLY} {PUBLIC}\n]', '"eth0"', FAR),
    ],
)
def test_an_interface_is_not_on_both_sides_and_nothing_untrue_is_said_of_it(
    tmp_path: Path, text: str
):
    assert_found_as_marked(tmp_path, text, HERE)


@pytest.mark.row("4787-7")
def test_an_outside_address_in_an_inside_network_is_a_mistake(tmp_path: Path):
    here = replace(HERE, interfaces={**HERE.interfaces, "eth0": (host("10.0.0.77/28"),)})
    mark = "#! eth0's address 10.0.0.77 is in the inside network 10.0.0.0/24"
    assert_found_as_marked(tmp_path, gateway(f'["10.0.0.0/24"]  {mark}', '"eth0"'), here)
    assert_found_as_marked(tmp_path, gateway(f'["eth1"]  {mark}', '"eth0"'), here)
    elsewhere = gateway('["eth1"]', '"eth0"', 'public = "203.0.113.9"')
    assert_found_as_marked(tmp_path, elsewhere, here)


def test_a_pool_in_the_network_of_an_inside_interface_is_a_mistake_once(tmp_path: Path):
    mark = "#! the public address 10.0.0.9 is in the inside network 10.0.0.0/24"
    text = gateway(f'["eth1"]  {mark}', '"eth0"', 'public = "10.0.0.9"')
    assert_found_as_marked(tmp_path, text, HERE)
    mark = "#! the public 10.0.0.9 and the inside network 10.0.0.0/24 overlap"
    text = gateway('["10.0.0.0/24"]', '"eth0"', f'public = "10.0.0.9"  {mark}')
    assert_found_as_marked(tmp_path, text, HERE)


@pytest.mark.parametrize("key", ["ports", "data_ports"])
def test_ports_that_the_host_takes_for_itself_are_doubtful(tmp_path: Path, key: str):
    mark = "#? overlaps 32768-60999, from which this host takes the ports of its own connections"
    assert_found_as_marked(tmp_path, f'{GATEWAY}{key} = "60999-63000"  {mark}\n', HERE)
    assert_found_as_marked(tmp_path, f'{GATEWAY}{key} = "61000-63000"\n', HERE)
    unknown = replace(HERE, ephemeral=None)
    assert_found_as_marked(tmp_path, f'{GATEWAY}{key} = "60999-63000"\n', unknown)


def test_a_forward_of_a_port_that_the_host_serves_is_doubtful(tmp_path: Path):
    mark = "#? this host serves port 22 itself; from outside it can no longer be reached"
    forward = '[[forward]]\nport = "20-25"  {}\nto = "10.0.0.2"\n{}\n'
    assert_found_as_marked(tmp_path, GATEWAY + forward.format(mark, ""), HERE)
    own, udp = (
        'public = "203.0.113.2"  #? is not the public address now',
        'protocol = "udp"  #? 21 is a port of helper ftp',
    )
    assert_found_as_marked(tmp_path, GATEWAY + forward.format(mark, own), HERE)
    assert_found_as_marked(tmp_path, GATEWAY + forward.format("", udp), HERE)
    pool = 'public = ["203.0.113.0/28"]\n'
    other = 'public = "203.0.113.9"'
    assert_found_as_marked(tmp_path, GATEWAY + pool + forward.format("", other), HERE)


def test_the_host_is_asked_for_the_public_addresses_that_it_has(tmp_path: Path):
    asked = []

    def served(protocol: int, address: Address, ports: PortRange, interface: str) -> None:
        asked.append((protocol, to_text(address), str(ports), interface))

    pool = 'public = ["203.0.113.2", "203.0.113.9"]\n[[forward]]\nport = "20-25"\nto = "10.0.0.2"\n'
    (tmp_path / "gateway.toml").write_text(GATEWAY + pool)
    check(tmp_path / "gateway.toml", replace(HERE, served=served))
    assert asked == [(6, "203.0.113.2", "20-25", "eth0")]


def test_a_forward_is_compared_with_the_networks_of_inside_interfaces(tmp_path: Path):
    forward = '[[forward]]\nport = 80\nto = "10.0.9.2"  #? 10.0.9.2 is in no inside network\n'
    assert_found_as_marked(tmp_path, gateway('"eth1"', '"eth0"') + forward, HERE)


def test_a_file_that_cannot_be_read_says_only_that(tmp_path: Path):
    report = check(tmp_path / "missing.toml", HERE)
    assert report == Report(report.errors)
    assert len(report.errors) == 1


def test_a_control_socket_that_cannot_be_served_here_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Before the traffic is taken over."""
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)  # names have 64 characters at most
    here = replace(HERE, access=access.find_problems)
    for text in (
        'group = "no-such-group"  #! this machine has no group no-such-group',
        'socket = "file"  #! there is something else at',
        'socket = "file/s"  #! file is no directory',
        'socket = "not/yet/s"\ngroup = "0"',
    ):
        assert_found_as_marked(tmp_path, f"{GATEWAY}\n[control]\n{text}\n", here)
    assert not (tmp_path / "not").exists()


def test_a_translation_log_that_cannot_be_written_here_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = replace(
        HERE, writable=lambda path: "there is no directory /v" if path == "/v/a/log" else None
    )
    text = 'file = "/v/a/log"  #! there is no directory /v'
    assert_found_as_marked(tmp_path, f"{GATEWAY}\n[translation_log]\n{text}\n", here)


def test_a_socket_that_is_served_already_is_no_mistake(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert list(access.find_problems(str(tmp_path / "s"), None)) == []


def test_more_flows_than_the_memory_is_enough_for_are_doubtful(tmp_path: Path):
    here = replace(HERE, memory=512 << 20)
    text = "flows = 1000000  #? could take more than half of the 512 MB of memory"
    assert_found_as_marked(tmp_path, f"{GATEWAY}\n[limits]\n{text}\n", here)
    assert_found_as_marked(tmp_path, f"{GATEWAY}\n[limits]\nflows = 1000000\n", HERE)
