"""Mistakes in single settings: each kind with its line, in the operator's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.marked import GATEWAY, assert_found_as_marked

RULE = '[[rule]]\naction = "pass"\n'
FORWARD = '[[forward]]\nport = 21\nto = "10.0.0.2"\n'
TRIGGER = "[[trigger]]\nports = 1\nopens = 2\n"


@pytest.mark.parametrize(
    "line",
    [
        'insde = ["eth2"]  #! gateway.insde: there is no such setting; did you mean "inside"?',
        'Data-Ports = "5-6"  #! did you mean "data_ports"?',
        "udp = 5  #! there is no such setting here; did you mean it to be in [timeouts]?",
        'group = "wheel"  #! did you mean it to be in [control] or [ha]?',
        'to = "10.0.0.2"  #! did you mean it to be in [[rule]] or [[forward]]?',
        "on_failure = 'drop'  #! did you mean it to be in [helper.NAME]?",
        'colour = "red"  #! there is no such setting; here can stand "inside", "outside"',
        'public = ["203.0.113.300"]  #! gateway.public 1: "203.0.113.300" is not an IPv4 address',
        'public = "203.0.113.300"  #! gateway.public: "203.0.113.300" is not an IPv4 address',
        'public = ["203.0.0.0/8"]  #! has more than 65,536 addresses',
        'ports = "65095-61000"  #! the range "65095-61000" is reversed; write "61000-65095"',
        "data_ports = []  #! there is no port in an empty list",
        'ports = "61000-70000"  #! there is no port 70000',
        'data_ports = "many"  #! "many" is not a port',
        'mapping = "any"  #! "any" is none of "endpoint-independent", "address-dependent", "addr',
        'filtering = "none"  #! "none" is none of "endpoint-independent"',
        'default_action = "accept"  #! "accept" is none of "masquerade", "pass", "drop"',
        'public = "0.0.0.0"  #! 0.0.0.0 cannot be anybody\'s public address',
        'public = ["203.0.113.1", "127.0.0.1"]  #! gateway.public 2: 127.0.0.1 cannot be',
        'public = "224.0.0.0-224.0.0.2"  #! 224.0.0.0 cannot be anybody\'s public address',
        'outside = "eth1"  #! not valid TOML: outside is given twice',
        'plane = "dpdk"  #! "dpdk" is none of "auto", "tun", "ebpf", "ebpf-tc", "ebpf-xdp" or "ebpf-xdp-generic"',
    ],
)
def test_a_mistake_in_gateway_is_named_with_its_line(tmp_path: Path, line: str):
    assert_found_as_marked(tmp_path, GATEWAY + line + "\n")


@pytest.mark.parametrize(
    "text",
    [
        '[timeouts]\nudp = "5 minutes"  #! "5 minutes" is not a duration; write "2h4m", "90s"',
        "[timeouts]\nicmp = 0  #! must be more than 0 seconds",
        "[timeouts]\ntcp = 60  #! timeouts.tcp: there is no such setting; here can stand \"tcp_established\"",
        "[limits]\nflows = 0  #! limits.flows: 0 is too small; at least 1",
        '[limits]\nflows = "many"  #! "many" is not a whole number',
        "[limits]\nflows = true  #! true is not a whole number",
        "[limits]\nstream_bytes = 1.5  #! 1.5 is not a whole number",
        "[control]\nmode = 660  #! 660 is not an access mode; write it as text",
        '[control]\nsocket = ""  #! control.socket: "" is not a name',
        "[control]\ngroup = 0  #! control.group: 0 is not a name; write it in quotes",
        '[control]\ngroup = "a\\u202eb"  #! "a\\u202eb" has an invisible character: \\u202e, the 2nd',
        f'[control]\ngroup = "{"x" * 65}"  #! is longer than 64 characters',
        "[helper.ftp]\nenabled = 'no'  #! helper.ftp.enabled: \"no\" is neither true nor false",
        "[helper.ftp]\nport = 21  #! did you mean \"ports\"?",
        "[helper.ftp]\nports = [21, 'x']  #! helper.ftp.ports 2: \"x\" is not a port",
        "[helper.ftp]\non_failure = 'stop'  #! \"stop\" is none of \"pass\", \"drop\"",
        "[helper.ftp]\nprotocol = 'icmp'  #! \"icmp\" has no place here; write \"tcp\" or \"udp\"",
        "[helper.ftp]\nexpectations_per_flow = -1  #! -1 is too small; at least 1",
        "[helper.ftp]\nexpectation_life = 'long'  #! \"long\" is not a duration",
        "[helper.ftp]\nfile = 5  #! 5 is not a file",
        "[gatewya]  #! gatewya: there is no such setting; did you mean \"gateway\"?",
        "[[forwards]]  #! did you mean \"forward\"?\nport = 1",
        "[helpers.ftp]  #! did you mean \"helper\"?",
        "[rule]  #! rule: must begin with double brackets\naction = 'pass'",
        "[[timeouts]]  #! stands where a table must be; write [timeouts], in single\nudp = 5",
        "[timeouts]\nudp_ports = { x = 5, 70000 = 1, 53 = '' }"
        "  #! \"x\" is not a port; write 21 or \"5000-5010\"; there is no port 70000: ports go from"
        " 1 to 65535; \"\" is not a duration",
        "[timeouts]\nudp_ports = { 53 = 9, ' 53' = 9 }  #! port 53 is given twice",
        f"[control]\nsocket = '/{'x' * 107}'  #! is longer than 107 bytes, which no socket can be",
        f"[control]\nsocket = '/{'x' * 106}'",
        "[[forward]]\nport = 80\nto = 'web.example.org:80'  #! is not an IPv4 address; names are not looked up",
        "[[forward]]\nport = 80\nto = '10.0.0.0/24'  #! is not an IPv4 address, but a network",
        "[[forward]]\nport = 80\nto = '[::1]:80'  #! \"::1\" is IPv6, which cannot be masqueraded yet",
        "[[forward]]\nport = 80\nto = '10.0.0.2:'  #! ends without a port; write \"10.0.0.2:21\"",
    ],
)  # fmt: skip
def test_a_mistake_in_another_table_is_named_with_its_line(tmp_path: Path, text: str):
    assert_found_as_marked(tmp_path, GATEWAY + text + "\n")


def test_a_setting_before_any_table_is_told_where_it_belongs(tmp_path: Path):
    text = "flows = 5  #! did you mean it to be in [limits]?\n"
    assert_found_as_marked(tmp_path, text + GATEWAY)


def test_a_number_where_a_table_must_be_is_named(tmp_path: Path):
    text = "limits = 5  #! limits: 5 stands where a table must be\nhelper = 1 #! helper: 1 stands\n"
    assert_found_as_marked(tmp_path, text + GATEWAY)


@pytest.mark.parametrize(
    "text",
    [
        "[[rule]]  #! rule 1, action: is missing\nto = '10.0.0.0/8'",
        RULE + "from = '10.0.0.1/8'  #! rule 1, from: \"10.0.0.1/8\" is a host in a network",
        RULE + "to = [\n'10.0.0.0/8',\n'::1',  #! rule 1, to 2: \"::1\" is IPv6\n]",
        RULE + "protocol = 'tpc'  #! \"tpc\" is not a protocol; write one of \"any\"",
        RULE + "port = 80  #! did you mean \"ports\"?",
        RULE + "ports = '80,81'  #! rule 1, ports: \"80,81\" is not a port",
        RULE + RULE + "from_ports = [0]  #! rule 2, from_ports 1: there is no port 0\n",
        "[[forward]]  #! forward 1, port: is missing #! forward 1, to: is missing",
        "[[forward]]  #! forward 1, to: is missing\nport = 80",
        FORWARD + "protocol = 'icmp'  #! write \"tcp\" or \"udp\"",
        FORWARD + "public = '203.0.113.0/24'  #! is not an IPv4 address",
        FORWARD + "name = ''  #! \"\" is not a name",
        FORWARD + FORWARD.replace("10.0.0.2", "server:21").replace('21"', '21" #! is not an IPv4'),
        "[[trigger]]  #! trigger 1, opens: is missing\nports = 1",
        TRIGGER + "life = -1  #! must be more than 0 seconds",
        TRIGGER + "opens_protocol = 'any'  #! write \"tcp\" or \"udp\"",
    ],
)  # fmt: skip
def test_a_mistake_in_a_list_of_tables_is_named_with_its_number_and_line(tmp_path: Path, text: str):
    assert_found_as_marked(tmp_path, GATEWAY + text + "\n")
