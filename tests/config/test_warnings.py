"""What is legal but probably wrong: each warning with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.marked import GATEWAY, assert_found_as_marked


@pytest.mark.parametrize(
    ("key", "least", "below", "said"),
    [
        ("tcp_established", "2h4m", 7439, "2h3m59s is below the 2h4m of RFC 5382 REQ-5 (row 5382-5)"),
        ("tcp_opening", "4m", "239s", "3m59s is below the 4m of RFC 5382 REQ-5 (row 5382-5t)"),
        ("tcp_closing", 240, "1s", "1s is below the 4m of RFC 5382 REQ-5 (row 5382-5t)"),
        ("udp", "2m", 119.5, "1m59.5s is below the 2m of RFC 4787 REQ-5 (row 4787-5)"),
        ("icmp", "60s", 59, "59s is below the 1m of RFC 5508 REQ-2 (row 5508-2)"),
    ],
)  # fmt: skip
def test_a_timeout_below_its_rfc_minimum_is_doubtful(
    tmp_path: Path, key: str, least: object, below: object, said: str
):
    def written(value: object) -> str:
        return f'"{value}"' if isinstance(value, str) else str(value)

    assert_found_as_marked(tmp_path, f"{GATEWAY}[timeouts]\n{key} = {written(least)}\n")
    assert_found_as_marked(tmp_path, f"{GATEWAY}[timeouts]\n{key} = {written(below)}  #? {said}\n")


@pytest.mark.parametrize(
    ("written", "doubtful"),
    [
        ("{ 53 = 30, 1023 = 5 }", False),
        ("{ 5353 = 120 }", False),
        ("{ 53 = 30, 5353 = 119 }", True),
    ],
)
def test_only_well_known_ports_may_have_a_shorter_time(
    tmp_path: Path, written: str, doubtful: bool
):
    said = "1m59s for port 5353 is below the 2m of RFC 4787 REQ-5; only ports to 1023 may have less"
    mark = f"  #? {said}" if doubtful else ""
    assert_found_as_marked(tmp_path, f"{GATEWAY}[timeouts]\nudp_ports = {written}{mark}\n")


@pytest.mark.row("6384-12b")
def test_an_expected_flow_that_is_waited_for_too_shortly_is_doubtful(tmp_path: Path):
    text = "[helper.ftp]\nexpectation_life = 29  #? 29s is below the 30s of RFC 6384, 12\n"
    assert_found_as_marked(tmp_path, GATEWAY + text)
    assert_found_as_marked(tmp_path, GATEWAY + "[helper.ftp]\nexpectation_life = 30\n")


def test_public_ports_below_1024_are_doubtful(tmp_path: Path):
    text = 'ports = "1023-65535"  #? 1023-65535 has ports below 1024\ndata_ports = "1024-2000"\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)


SHADOWED = [
    ('to = "10.0.0.0/8"', 'to = "10.1.0.0/16"', True),
    ('to = "10.1.0.0/16"', 'to = "10.0.0.0/8"', False),
    ('to = ["10.0.0.0/9", "10.128.0.0/9"]', 'to = ["10.1.0.0/16", "10.200.0.0/16"]', True),
    ('to = "10.0.0.0/8"', 'to = ["10.1.0.0/16", "11.0.0.0/8"]', False),
    ('to = "10.0.0.0/8"', 'from = "10.0.0.0/8"', False),
    ("", 'to = "10.0.0.0/8"', True),
    ('to = "10.0.0.0/8"', "", False),
    ('protocol = "tcp"', 'protocol = "tcp"\nports = 80', True),
    ('protocol = "tcp"\nports = 80', 'protocol = "tcp"', False),
    ('protocol = "tcp"\nports = "80-90"', 'protocol = "tcp"\nports = [80, "85-90"]', True),
    ('protocol = "tcp"\nports = "80-90"', 'protocol = "tcp"\nports = [80, "85-91"]', False),
    ('protocol = "tcp"\nfrom_ports = 5', 'protocol = "tcp"\nports = 5', False),
    ('protocol = "tcp"', 'protocol = "udp"', False),
    ('protocol = "tcp"', "", False),
    ('protocol = "icmp"', 'protocol = "icmp"', True),
    ("", 'protocol = "icmp"', True),
    ('to = "10.0.0.0/16"', 'to = "10.0.0.0/8"', False),
    ("ports = 25  #? all others match as well", 'protocol = "icmp"', True),
]


@pytest.mark.parametrize(("first", "second", "shadowed"), SHADOWED)
def test_a_rule_that_an_earlier_one_hides_is_doubtful(
    tmp_path: Path, first: str, second: str, shadowed: bool
):
    mark = "#? rule 2: never decides: rule 1 (pass" if shadowed else ""
    text = f'[[rule]]\naction = "pass"\n{first}\n[[rule]]  {mark}\naction = "drop"\n{second}\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)


@pytest.mark.parametrize("key", ["ports", "from_ports"])
def test_ports_of_any_protocol_are_doubtful(tmp_path: Path, key: str):
    rule = (
        f'[[rule]]\naction = "drop"\n{key} = 25  #? without a protocol all others match as well\n'
    )
    assert_found_as_marked(tmp_path, GATEWAY + rule)


def test_masquerading_what_cannot_be_is_doubtful(tmp_path: Path):
    rule = '[[rule]]\naction = "{}"\nprotocol = "gre"  {}\n'
    mark = "#? gre cannot be masqueraded, so it is dropped"
    assert_found_as_marked(tmp_path, GATEWAY + rule.format("masquerade", mark))
    assert_found_as_marked(tmp_path, GATEWAY + rule.format("pass", ""))


def test_a_port_whose_time_is_shorter_than_that_of_an_answer_is_doubtful(tmp_path: Path):
    mark = "#? timeouts.udp_ports.53: 4s for port 53 is shorter than the 5s that programs wait"
    text = f"{GATEWAY}[timeouts.udp_ports]\n123 = 5\n53 = 4  {mark}\n"
    assert_found_as_marked(tmp_path, text)


def test_a_forward_to_no_inside_network_is_doubtful(tmp_path: Path):
    forward = '[[forward]]\nport = 80\nto = "{}"  {}\n'
    mark = "#? 198.51.100.9 is in no inside network"
    assert_found_as_marked(tmp_path, GATEWAY + forward.format("198.51.100.9", mark))
    assert_found_as_marked(tmp_path, GATEWAY + forward.format("10.0.0.254", ""))
    unknown_here = GATEWAY.replace("10.0.0.0/24", "eth1")
    assert_found_as_marked(tmp_path, unknown_here + forward.format("198.51.100.9", ""))


def test_a_trigger_that_opens_what_is_forwarded_is_doubtful(tmp_path: Path):
    text = GATEWAY + 'ports = "61000-65095"\n[[forward]]\nport = 6112\nto = "10.0.0.2"\n'
    for opens, mark in (
        ("5000-5009", ""),
        ("60999-61000", ""),
        ("6000-7000", "#? overlaps forward tcp-6112 (6112), which comes first"),
    ):
        trigger = f'[[trigger]]\nports = 5\nopens = "{opens}"  {mark}\n'
        assert_found_as_marked(tmp_path, text + trigger)
    udp = '[[trigger]]\nports = 5\nopens = 6112\nopens_protocol = "udp"\n'
    assert_found_as_marked(tmp_path, text + udp)


def test_a_helper_on_a_protocol_that_is_not_its_own_is_doubtful(tmp_path: Path):
    text = '[helper.ftp]\nprotocol = "udp"  #? the helper was not written for udp\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)


HELPER = """\
from ipmasq.core.helper import Helper
class Mine(Helper):
    name, ports, orthogonal = "mine", (79,), {}
"""


def test_a_forward_of_a_helpers_port_but_another_protocol_is_doubtful(tmp_path: Path):
    for ports in ('port = 2121\nto = "10.0.0.2:21"', 'port = "20-22"\nto = "10.0.0.2:80"'):
        text = f'[[forward]]\n{ports}\nprotocol = "udp"  #? 21 is a port of helper ftp, which inspects tcp\n'
        assert_found_as_marked(tmp_path, GATEWAY + text)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_a_forward_of_a_port_whose_helper_only_watches_clients_is_doubtful(
    tmp_path: Path, orthogonal: bool
):
    (tmp_path / "mine.py").write_text(HELPER.format(orthogonal))
    mark = "" if orthogonal else "#? 79 is a port of helper mine, which is not orthogonal"
    text = f'[helper.mine]\nfile = "mine.py"\n[[forward]]\nport = 79  {mark}\nto = "10.0.0.2"\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)
    elsewhere = text.partition("port = ")[0] + 'port = 80\nto = "10.0.0.2"\n'
    assert_found_as_marked(tmp_path, GATEWAY + elsewhere)


def test_a_control_socket_for_everybody_is_doubtful(tmp_path: Path):
    text = '[control]\nmode = "0666"  #? lets every user of this host command the gateway\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)
    assert_found_as_marked(tmp_path, GATEWAY + '[control]\nmode = "0660"\n')
