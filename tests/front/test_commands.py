"""What people type, and what they then see."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap, wrpcap

from ipmasq.core.policy import Forward, PortRange
from ipmasq.core.side import Side
from ipmasq.front.tables import UNBOUNDED_WIDTH, rate, size
from tests.conformance import packets
from tests.control.running import E1, IN1, IN2, OUT1, Running, conversation
from tests.front.conftest import Ipmasq

MAC = "02:00:00:00:00:01"


def test_a_table_of_flows_fits_eighty_columns(gateway: Running, ipmasq: Ipmasq):
    conversation(gateway, [])
    gateway.open_udp(IN2, 54321, 12345)
    shown = ipmasq("show", "flows").stdout
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert re.search(
        r"^ +1 tcp +10\.0\.0\.2:4000 +203\.0\.113\.1:\d+ +198\.51\.100\.1:79", shown, re.M
    )
    assert "10.0.0.3:54321" in shown


@pytest.mark.parametrize("columns", [30, 80, 200])
@pytest.mark.parametrize("what", ["flows", "mappings", "forwards", "helpers", "stats"])
def test_tables_keep_to_the_terminal(gateway: Running, ipmasq: Ipmasq, what: str, columns: int):
    conversation(gateway, [b"refuse this\r\n"])
    done = ipmasq("show", what, columns=columns)
    assert done.returncode == 0
    assert done.stdout.strip()
    if what != "helpers":  # below its table, sentences
        assert max(map(len, done.stdout.splitlines())) <= columns


def test_json_is_one_document_with_a_row_a_line(gateway: Running, ipmasq: Ipmasq):
    assert json.loads(ipmasq("show", "flows", "--json").stdout) == []
    for port in (5000, 5001, 5002):
        gateway.open_udp(port=port)
    out = ipmasq("show", "flows", "--json").stdout
    assert [flow["inside"]["port"] for flow in json.loads(out)] == [5000, 5001, 5002]
    assert len(out.splitlines()) == 5
    for what in ("mappings", "forwards", "expectations", "helpers", "stats"):
        assert isinstance(json.loads(ipmasq("show", what, "--json").stdout), list)


def test_filters_reach_the_gateway(gateway: Running, ipmasq: Ipmasq):
    conversation(gateway, [])
    gateway.open_udp(IN2)
    assert len(json.loads(ipmasq("show", "flows", "--json", "--host", "10.0.0.3").stdout)) == 1
    assert len(json.loads(ipmasq("show", "flows", "--json", "--helper", "finger").stdout)) == 1
    assert "There is no such flow" in ipmasq("show", "flows", "--protocol", "icmp").stdout
    wrong = ipmasq("show", "flows", "--state", "bogus")
    assert wrong.returncode == 2
    assert "TIME_WAIT" in wrong.stderr, "those that there are"
    assert ipmasq("show", "flows", "--host", "nobody").returncode == 2


def test_a_long_table_stops_and_says_so(gateway: Running, ipmasq: Ipmasq):
    for port in range(5000, 5010):
        gateway.open_udp(port=port)
    done = ipmasq("show", "flows", "--limit", 4)
    assert len(done.stdout.splitlines()) == 5
    assert "--limit 0" in done.stderr
    assert len(ipmasq("show", "flows", "--limit", 0).stdout.splitlines()) == 11
    assert ipmasq("show", "flows", "--limit", 10).stderr == ""


def test_status_is_shown(gateway: Running, ipmasq: Ipmasq):
    assert ["version", "test"] in [each.split() for each in ipmasq("status").stdout.splitlines()]
    assert json.loads(ipmasq("status", "--json").stdout)["version"] == "test"


def test_what_is_in_use_is_shown_with_what_there_may_be(gateway: Running, ipmasq: Ipmasq):
    assert "none in use" in ipmasq("status").stdout
    gateway.open_udp()
    lines = dict(line.split(None, 1) for line in ipmasq("status").stdout.splitlines())
    assert lines["flows"] == "1 / 1,000,000"
    assert "public ports       203.0.113.1 udp 1 / 64,512" in ipmasq("status").stdout
    (ports,) = json.loads(ipmasq("status", "--json").stdout)["public_ports"]
    assert (ports["used"], ports["max"], ports["ports"]) == (1, 64512, "1024-65535")
    shown = [line.split() for line in ipmasq("show", "stats").stdout.splitlines()]
    assert ["1", "1000000", "flows"] in shown
    assert ["1", "64512", "udp", "ports", "203.0.113.1"] in shown


def test_a_host_that_has_all_that_it_may_have_is_named_with_its_limit(
    gateway: Running, ipmasq: Ipmasq
):
    assert "hosts near limit   none\n" in ipmasq("status").stdout
    limits = replace(gateway.engine.policy.limits, ports_per_host=20, flows_per_host=24)
    policy = replace(gateway.engine.policy, limits=limits)
    gateway.do(lambda: gateway.engine.apply(policy, gateway.loop.clock()))
    gateway.open_many(30)
    shown = ipmasq("status").stdout
    assert (
        "hosts near limit   10.0.0.2 udp ports 20 / 20 (ports_per_host); new flows are refused\n"
        in shown
    )
    assert f"\n{'':<18} 10.0.0.2 flows 20 / 24 (flows_per_host)\n" in shown
    (ports, _) = json.loads(ipmasq("status", "--json").stdout)["hosts_near_limit"]
    assert ports == {
        "host": "10.0.0.2", "limit": "ports_per_host", "protocol": "udp", "used": 20, "max": 20,
    }  # fmt: skip


def test_a_firewall_in_which_nothing_is_in_the_way_is_not_called_none(
    gateway: Running, ipmasq: Ipmasq, monkeypatch: pytest.MonkeyPatch
):
    for found, line in (
        ([], "firewall           nothing in the gateway's way\n"),
        (["one", "two"], f"firewall           one\n{'':<18} two\n"),
    ):
        said = {**gateway.gateway.status(), "firewall": found}
        monkeypatch.setattr(gateway.gateway, "status", lambda said=said: said)
        assert line in ipmasq("status").stdout


def test_explain_takes_a_number_or_the_ends_of_a_flow(gateway: Running, ipmasq: Ipmasq):
    number = conversation(gateway, [])
    by_number = ipmasq("explain", number).stdout
    assert by_number.startswith(f"flow {number}: 10.0.0.2:4000")
    assert "helper finger inspects it: " in by_number
    would_be = ipmasq("explain", "tcp", "10.0.0.9:1", "198.51.100.1:80").stdout
    assert would_be.startswith("from inside: would be opened by masquerade")
    assert "helper finger does not inspect it: its ports are 79" in would_be
    assert json.loads(ipmasq("explain", number, "--json").stdout)["flow"] == number
    assert ipmasq("explain", 999).returncode == 1
    assert ipmasq("explain", "tcp", "10.0.0.9:1").returncode == 2
    assert ipmasq("explain", "tcp", "ten", "198.51.100.1:80").returncode == 2


def test_a_server_is_published_and_withdrawn(gateway: Running, ipmasq: Ipmasq):
    added = ipmasq("forward", "add", "tcp", "2121", "10.0.0.2:21", "--name", "ftp")
    assert added.stdout == "forward ftp: tcp *:2121 -> 10.0.0.2:21\n"
    assert "ftp" in ipmasq("show", "forwards").stdout
    again = ipmasq("forward", "add", "tcp", "2121", "10.0.0.2:21")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "ipmasq: forward tcp-2121 (2121) overlaps forward ftp (2121)\n"
    assert ipmasq("forward", "del", "ftp").returncode == 0
    assert ipmasq("forward", "del", "ftp").returncode == 1
    assert ipmasq("forward", "add", "tcp", "no", "10.0.0.2").returncode == 2


def test_a_saved_change_says_where(gateway: Running, ipmasq: Ipmasq):
    for command, done in (
        (("forward", "add", "tcp", "21", "10.0.0.2", "--name", "x"), "forward x: "),
        (("forward", "del", "x"), "forward x is removed"),
        (("helper", "unload", "finger"), "helper finger is unloaded"),
        (("helper", "load", "finger"), "helper finger is loaded"),
    ):
        said = ipmasq(*command, "--save").stdout
        assert said.startswith(done)
        assert said.endswith("; saved in gateway.saved.toml\n")


def test_flows_that_are_over_are_counted_and_shown_only_if_asked_for(
    gateway: Running, ipmasq: Ipmasq
):
    gateway.open_udp()
    out, ack = (IN1, 4000, OUT1, 80), packets.ACK
    public = packets.read(gateway.send(packets.tcp(*out, packets.SYN, 100))).source.port
    back = (OUT1, 80, E1, public)
    gateway.send(packets.tcp(*back, packets.SYN | ack, 500, 101), Side.OUTSIDE)
    gateway.send(packets.tcp(*back, packets.FIN | ack, 501, 101), Side.OUTSIDE)
    assert "CLOSE_WAIT" in ipmasq("show", "flows", columns=200).stdout
    gateway.send(packets.tcp(*out, packets.FIN | ack, 101, 502))
    usual = ipmasq("show", "flows")
    assert "TIME_WAIT" not in usual.stdout
    assert len(usual.stdout.splitlines()) == 2
    assert usual.stderr == "ipmasq: 1 TCP flow is over (TIME_WAIT) and not shown; --all shows all\n"
    for asked in (("--all",), ("--state", "TIME_WAIT"), ("--json",)):
        found = ipmasq("show", "flows", *asked, columns=200)
        assert "TIME_WAIT" in found.stdout
        assert not found.stderr


def test_flows_are_closed(gateway: Running, ipmasq: Ipmasq):
    numbers = gateway.open_udp(port=5000), gateway.open_udp(port=5001)
    assert ipmasq("close", *numbers).returncode == 0
    assert ipmasq("close", numbers[0]).returncode == 1


def test_a_flow_that_has_gone_keeps_no_other_from_being_closed(gateway: Running, ipmasq: Ipmasq):
    gateway.open_udp()
    (flow,) = json.loads(ipmasq("show", "flows", "--json").stdout)
    done = ipmasq("close", flow["id"] + 7, flow["id"])
    assert done.returncode == 1
    assert f"there is no flow {flow['id'] + 7}" in done.stderr
    assert "There are no flows." in ipmasq("show", "flows").stdout
    assert not gateway.engine.table.flows


def test_helpers_come_and_go(gateway: Running, ipmasq: Ipmasq, tmp_path: Path):
    assert ipmasq("helper", "unload", "finger").returncode == 0
    assert ipmasq("show", "helpers").stdout == "No helper is loaded.\n"
    assert ipmasq("helper", "load", "finger", "--port", 7979).stdout == "helper finger is loaded\n"
    assert "7979" in ipmasq("show", "helpers").stdout
    assert ipmasq("helper", "reload", "finger").returncode == 0
    assert ipmasq("helper", "reload", "gopher").returncode == 1
    missing = ipmasq("helper", "load", tmp_path / "none.py")
    assert missing.returncode == 1
    assert "there is no file" in missing.stderr


def test_what_helpers_refused_is_told_by_reason(gateway: Running, ipmasq: Ipmasq):
    conversation(gateway, [b"refuse this\r\n"])
    assert "finger refused 1: asked for it" in ipmasq("show", "helpers").stdout


def test_idle_times_are_set_and_shown(gateway: Running, ipmasq: Ipmasq):
    shown = ipmasq("timeouts", "set", "udp=30s", "icmp=5").stdout
    assert "udp              30s\n" in shown
    assert shown == ipmasq("timeouts", "show").stdout
    assert json.loads(ipmasq("timeouts", "show", "--json").stdout)["icmp"] == 5
    shown = ipmasq("timeouts", "set", "udp.53=20s", "udp.123=1m").stdout
    assert "udp.53           20s\nudp.123          1m\n" in shown
    shown = ipmasq("timeouts", "set", "udp.53=10s").stdout
    assert "udp.53           10s\nudp.123          1m\n" in shown
    assert json.loads(ipmasq("timeouts", "show", "--json").stdout)["udp_ports"]["123"] == 60
    for wrong, said in (
        ("udp=soon", 'udp: "soon" is not a duration'),
        ("udp", "udp: write NAME=TIME, such as udp=2m"),
        (
            "colour=3",
            "there are tcp_established, tcp_opening, tcp_closing, udp, icmp, fragment, udp.PORT",
        ),
        ("udp=0", "it must be more than 0 seconds"),
        ("udp.0=3", "is too small; at least 1"),
        ("udp.dns=3", 'udp.dns: "dns" is not a port'),
        ("upd=3", "upd: there is no such argument; did you mean udp?"),
        ("udp.53=", "udp.53"),
        ("udp=9999d", "863913600 is too large; at most 31536000"),
    ):
        done = ipmasq("timeouts", "set", wrong)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


def test_idle_times_that_are_too_short_are_warned_of_as_in_the_file(
    gateway: Running, ipmasq: Ipmasq
):
    done = ipmasq("timeouts", "set", "udp=30s", "icmp=2m")
    warning = "udp: 30s is below the 2m of RFC 4787 REQ-5 (row 4787-5)"
    assert (done.returncode, done.stderr) == (0, f"ipmasq: warning: {warning}\n")
    done = ipmasq("timeouts", "set", "udp=30s", "--json")
    assert (json.loads(done.stdout)["udp"], warning in done.stderr) == (30, True)
    assert ipmasq("timeouts", "set", "udp=2m").stderr == ""
    done = ipmasq("timeouts", "set", "udp.53=1s", "udp.5353=10s")
    assert done.stderr.splitlines() == [
        "ipmasq: warning: udp.53: 1s for port 53 is shorter than the 5s that programs wait for an answer;"
        " one that comes later is dropped",
        "ipmasq: warning: udp.5353: 10s for port 5353 is below the 2m of RFC 4787 REQ-5;"
        " only ports to 1023 may have less (row 4787-5a)",
    ]


def test_a_doubtful_forward_is_published_and_warned_of(gateway: Running, ipmasq: Ipmasq):
    gateway.gateway.warnings = ("this host serves port 22 itself",)
    done = ipmasq("forward", "add", "tcp", "22", "10.0.0.2", "--json")
    assert (done.returncode, "warnings" in json.loads(done.stdout)) == (0, False)
    assert done.stderr == "ipmasq: warning: this host serves port 22 itself\n"


def test_a_reload_shows_every_mistake_and_has_its_own_exit_code(gateway: Running, ipmasq: Ipmasq):
    done = ipmasq("reload")
    assert (done.returncode, done.stderr) == (0, "ipmasq: warning: a warning\n")
    gateway.gateway.mistakes = ("gateway.toml:3: no", "gateway.toml:9: \x1b[2J")
    done = ipmasq("reload")
    assert done.returncode == 3
    assert "ipmasq: gateway.toml:3: no\n" in done.stderr
    assert "ipmasq: gateway.toml:9: \\x1b[2J\n" in done.stderr


def test_the_example_is_a_configuration_without_mistakes(ipmasq: Ipmasq, tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(ipmasq("config", "example").stdout)
    assert ipmasq("check", file, "--elsewhere").returncode == 0


def test_check_shows_mistakes_with_their_lines(ipmasq: Ipmasq, tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text('[gateway]\ninside = ["10.0.0.0/33"]\noutside = 7\n')
    done = ipmasq("check", file)
    assert done.returncode == 3
    assert f"{file}:2: " in done.stdout
    assert f"{file}:3: " in done.stdout
    found = json.loads(ipmasq("check", file, "--json").stdout)
    assert {each["line"] for each in found if each["kind"] == "error"} == {2, 3}


@pytest.mark.parametrize("command", [("check",), ("check", "-c"), ("run", "-c")])
def test_a_file_that_is_not_there_is_a_mistake_of_configuration(
    ipmasq: Ipmasq, tmp_path: Path, command: tuple[str, ...]
):
    done = ipmasq(*command, tmp_path / "none.toml")
    assert done.returncode == 3
    assert "there is no such file; `ipmasq setup` writes one" in done.stdout + done.stderr


def test_a_replay_that_cannot_be_is_one_sentence(ipmasq: Ipmasq, tmp_path: Path):
    file, junk, out = tmp_path / "gateway.toml", tmp_path / "in.pcap", tmp_path / "out.pcapng"
    file.write_text('[gateway]\ninside = ["10.0.0.0/24"]\noutside = "eth0"\n')
    junk.write_bytes(b"this is no capture")
    arguments = ("replay", junk, "-c", file, "-o", out)
    done = ipmasq(*arguments)
    assert (done.returncode, out.exists()) == (1, False)
    assert ipmasq(*arguments, "--inside-mac", "xx").returncode == 2
    assert ipmasq(*arguments, "--inside-network", "10.0.0.0/99").returncode == 2
    assert ipmasq(*arguments, "--inside-interface", "eth1").returncode == 2
    assert ipmasq("replay", tmp_path / "none", "-c", file, "-o", out).returncode == 1
    assert ipmasq("replay", junk, "-c", file, "-o", junk).returncode == 2
    assert junk.read_bytes() == b"this is no capture"
    file.write_text("[gateway\n")
    assert ipmasq(*arguments).returncode == 3


@pytest.mark.parametrize("side", [(), ("--inside-network", "10.0.0.0/24"), ("--inside-mac", MAC)])
def test_a_capture_is_replayed_into_one_with_comments(
    ipmasq: Ipmasq, tmp_path: Path, side: tuple[str, ...]
):
    file, capture, out = tmp_path / "gateway.toml", tmp_path / "in.pcap", tmp_path / "out.pcapng"
    file.write_text('[gateway]\ninside = ["10.0.0.0/24"]\noutside = "none0"\n')
    frame = Ether(src=MAC, dst="02:00:00:00:00:02") / IP(src="10.0.0.2", dst="198.51.100.1")
    wrpcap(str(capture), [frame / UDP(sport=5000, dport=53) / b"hello"])
    done = ipmasq("replay", capture, "-c", file, "-o", out, *side, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["packets"], summary["flows"], summary["reasons"]) == (1, 1, {"translated": 1})
    (packet,) = rdpcap(str(out))
    assert packet[IP].src == summary["public"][0]
    assert b"opened flow 1 by masquerade" in out.read_bytes()
    assert "packets      1\n" in ipmasq("replay", capture, "-c", file, "-o", out, *side).stdout


def test_a_capture_is_replayed_into_a_page_and_a_list_of_steps(ipmasq: Ipmasq, tmp_path: Path):
    file, capture, page = tmp_path / "gateway.toml", tmp_path / "a <in>.pcap", tmp_path / "page"
    file.write_text('[gateway]\ninside = ["10.0.0.0/24"]\noutside = "none0"\n')
    wrpcap(
        str(capture),
        [Ether() / IP(src="10.0.0.2", dst="198.51.100.1") / UDP(sport=5000, dport=53) / b"hello"],
    )
    done = ipmasq("replay", capture, "-c", file, "--html", page, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [step["kind"] for step in found["steps"]] == ["opened", "open"]
    text = page.read_text(encoding="utf-8")
    assert "<title>a &lt;in&gt;.pcap</title>" in text
    assert "198.51.100.1:53" in text
    same = ipmasq("replay", capture, "-c", file, "--html", capture)
    assert (same.returncode, same.stderr) == (2, "ipmasq: IN and PAGE are the same file\n")
    twice = ipmasq("replay", capture, "-c", file, "--html", page, "-o", page)
    assert (twice.returncode, page.read_text(encoding="utf-8")) == (2, text)


def test_whatever_a_name_is_made_of_it_is_shown_on_its_line(gateway: Running, ipmasq: Ipmasq):
    nasty = Forward("a\nforged \x1b[2J\u202e", 6, None, PortRange(9, 9), IN1, 9)
    gateway.do(lambda: gateway.gateway.add_forward(nasty))
    lines = ipmasq("show", "forwards").stdout.splitlines()
    assert all(line.isprintable() for line in lines)
    assert any("a\\nforged \\x1b[2J\\u202e" in line for line in lines)


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_a_hairpin_flow_is_shown_with_all_four_endpoints(
    gateway: Running, ipmasq: Ipmasq, columns: int
):
    gateway.send(packets.tcp(IN1, 40000, E1, 8080, packets.SYN))
    public = next(iter(gateway.engine.flows())).public.port
    shown = "".join(ipmasq("show", "flows", columns=columns).stdout.split())
    (flow,) = json.loads(ipmasq("show", "flows", "--json", "--host", "10.0.0.3").stdout)
    assert flow["remote"] == {"address": "203.0.113.1", "port": 8080}
    assert flow["remote_real"] == {"address": "10.0.0.3", "port": 80}
    for endpoint in ("10.0.0.2:40000", f"203.0.113.1:{public}", "203.0.113.1:8080", "10.0.0.3:80"):
        assert endpoint in shown


ASKING = [
    ("status",),
    ("reload",),
    ("watch",),
    ("close", "1"),
    ("explain", "1"),
    ("timeouts", "show"),
    ("timeouts", "set", "udp=3"),
    ("forward", "add", "tcp", "80", "10.0.0.2"),
    ("forward", "del", "web"),
    ("helper", "unload", "ftp"),
    *(
        ("show", what)
        for what in ("flows", "mappings", "forwards", "expectations", "helpers", "stats")
    ),
]


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_without_a_gateway_every_question_ends_with_code_4(
    ipmasq: Ipmasq, command: tuple[str, ...]
):
    done = ipmasq(*command)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("ipmasq: no gateway runs here: there is no control socket ")
    assert len(done.stderr.splitlines()) == 1


EXCHANGED = 24_000


def test_at_eighty_columns_a_flow_says_who_whom_by_which_helper_since_when_and_how_fast(
    gateway: Running, ipmasq: Ipmasq
):
    conversation(gateway, [b"ask\r\n"])
    title, row = ipmasq("show", "flows").stdout.splitlines()
    assert title.split()[-3:] == ["helper", "age", "B/s"]
    assert re.search(r" finger +\d+s +[1-9]\d*$", row)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "24.0k"), (10, "2.4k"), (2400, "10"), (100_000, "0")]
)
def test_the_rate_is_the_average_over_the_life_of_the_flow(seconds: float, shown: str):
    flow = {"bytes_out": EXCHANGED // 3, "bytes_in": EXCHANGED // 3 * 2, "age": seconds}
    assert rate(flow) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(999, "999 B"), (1000, "1.0 kB"), (123456, "123 kB"), (2e15, "2000.0 TB")]
)
def test_a_size_has_four_characters_and_a_unit(count: float, shown: str):
    assert size(count) == shown


@pytest.mark.parametrize(
    ("filters", "ports"),
    [
        (("-s", "10.0.0.2"), [4000]),
        (("-s", "198.51.100.1"), [80]),
        (("-d", "203.0.113.1"), [80]),
        (("-d", "198.51.100.1"), [4000, 5353]),
        (("--sport", "5353"), [5353]),
        (("--sport", "50000"), [80]),
        (("--dport", "79"), [4000]),
        (("--dport", "8080"), [80]),
        (("-p", "tcp", "-d", "198.51.100.1"), [4000]),
        (("-s", "10.0.0.0/30"), [4000, 5353]),
        (("--orig-src", "10.0.0.3/32"), [5353]),
        (("-d", "203.0.112.0/23"), [80]),
        (("-r", "198.51.100.0/24"), [4000, 5353]),
        (("-r", "10.0.0.3"), [80]),
        (("-q", "203.0.113.1"), [4000, 5353]),
        (("--reply-dst", "198.51.100.1"), [80]),
        (("-p", "udp", "-s", "10.0.0.2"), []),
    ],
)
def test_filters_by_source_and_destination_are_about_the_packet_that_opened_the_flow(
    gateway: Running, ipmasq: Ipmasq, filters: tuple[str, ...], ports: list[int]
):
    conversation(gateway, [])
    gateway.open_udp(IN2, 5353)
    gateway.send(packets.tcp(OUT1, 50000, E1, 8080, packets.SYN), Side.OUTSIDE)
    rows = json.loads(ipmasq("show", "flows", "--json", *filters).stdout)
    assert [row["inside"]["port"] for row in rows] == ports


def test_a_table_in_a_pipe_has_every_column(gateway: Running, ipmasq: Ipmasq):
    conversation(gateway, [])
    narrow = ipmasq("show", "flows", columns=40).stdout.splitlines()[0].split()
    whole = ipmasq("show", "flows", columns=UNBOUNDED_WIDTH).stdout.splitlines()[0].split()
    assert whole[:6] == ["flow", "proto", "inside", "public", "remote", "state"]
    assert whole[-1] == "origin"
    assert narrow == ["flow", "proto", "inside", "remote"]


@pytest.mark.parametrize("command", ["status", "show flows", "upgrade", "close 1", "reload"])
def test_every_command_says_that_a_gateway_was_killed_here(
    ipmasq: Ipmasq, monkeypatch: pytest.MonkeyPatch, command: str
):
    monkeypatch.setattr("ipmasq.control.leftovers.hint", lambda: "; one was killed")
    done = ipmasq(*command.split())
    assert done.returncode == 4
    (said,) = done.stderr.splitlines()
    assert said.startswith("ipmasq: no gateway runs here: ")
    assert said.endswith("; one was killed")
