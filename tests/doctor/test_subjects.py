"""What each subject finds, on hosts that are described and not there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ipmasq.config import HostAddress, HostState, load
from ipmasq.config.routes import Route, Way
from ipmasq.doctor import (
    clock,
    configuration,
    firewall,
    forwarding,
    group,
    interfaces,
    kernel,
    kernel_helpers,
    leftovers,
    mtu,
    names,
    offloads,
    programs,
    routes,
    rp_filter,
    state,
    usage,
)
from ipmasq.doctor.command import _say_one
from ipmasq.doctor.examine import examine, mend
from ipmasq.doctor.finding import Finding, Subject
from ipmasq.doctor.host import Host, Link
from ipmasq.doctor.lasting import how_long
from ipmasq.front.asking import CONFIG
from ipmasq.gateway.firewall.finding import Finding as Obstruction
from ipmasq.planes.leftovers import Leftovers
from ipmasq.planes.tun.changes import UnreachableAdded
from ipmasq.planes.tun.started import Started
from ipmasq.wire.addresses import Address, to_address

TOML = """
[gateway]
inside = ["gi"]
outside = "go"
"""
GOOD = {"gi": Link(True, True, 1500), "go": Link(True, True, 1500)}
STATUS: dict[str, Any] = {
    "plane": "ebpf (tc on gi, tc on go)",
    "flows": 10,
    "max_flows": 1000,
    "public_ports": [{"address": "203.0.113.1", "protocol": "tcp", "used": 3, "max": 100}],
    "hosts_near_limit": [],
    "failures": 0,
    "settings_wrong": [],
}


def outward(address: Address) -> Route:
    return Route(Way.OUT, "gi" if address[0] == 10 else "go")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One where all is well."""
    path = tmp_path / "gateway.toml"
    path.write_text(TOML)
    here = HostState(
        {
            "lo": (HostAddress(to_address("127.0.0.1"), 8),),
            "gi": (HostAddress(to_address("10.0.0.1"), 24),),
            "go": (HostAddress(to_address("203.0.113.1"), 24),),
        },
        route_to=outward,
    )
    return Host(load(path), here, GOOD)


def but(host: Host, **changed: Any) -> Host:
    return dataclasses.replace(host, **changed)


def the(subject: Subject, host: Host) -> Finding:
    (found,) = subject(host)
    return found


def links(**changed: Any) -> dict[str, Link]:
    """Those of a good host, with a changed outside interface."""
    return {**GOOD, "go": dataclasses.replace(GOOD["go"], **changed)}


def test_nothing_is_found_where_all_is_well(host: Host):
    assert examine(host) == ()
    assert examine(but(host, status=STATUS)) == ()


def test_a_mistake_in_the_file_is_the_only_subject_of_it(host: Host, tmp_path: Path):
    path = tmp_path / "wrong.toml"
    path.write_text(TOML + "outsid = 1\n")
    found = examine(but(host, loaded=load(path)))
    assert {each.subject for each in found} == {"configuration"}
    assert "wrong.toml, line 5" in found[0].remedy
    assert "does not start" in found[0].effect


def test_what_is_legal_and_doubtful_is_found_with_its_line(host: Host, tmp_path: Path):
    path = tmp_path / "doubtful.toml"
    path.write_text(TOML + '[timeouts]\nicmp = "1s"\n')
    found = the(configuration.find, but(host, loaded=load(path)))
    assert "RFC 5508" in found.what
    assert "line 6" in found.remedy


def test_what_fix_has_done_is_said_to_last_for_a_time_and_where_it_can_be_kept():
    done = [
        "done: nft insert rule inet filter forward accept",
        "done: nft insert rule inet filter input accept",
        "done: iptables-legacy -I FORWARD -j ACCEPT",
        "failed: sysctl -w net/ipv4/ip_forward=1: no",
    ]
    nft, iptables = how_long(done)
    assert "/etc/nftables.conf" in nft
    assert "netfilter-persistent save" in iptables
    assert "loads its file again" in nft


def test_the_clock_is_a_hint_since_traffic_does_not_depend_on_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(clock.time, "time", lambda: 0.0)
    assert the(clock.find, host).is_hint
    assert not the(interfaces.find, but(host, links=links(carrier=False))).is_hint


def test_a_question_has_no_full_stop(capsys: pytest.CaptureFixture[str]):
    _say_one(Finding("configuration", 'did you mean "outside"?', "none", "edit it"))
    assert 'configuration: did you mean "outside"?\n' in capsys.readouterr().out


def test_an_interface_without_carrier_cannot_be_put_right_by_a_command(host: Host):
    found = the(interfaces.find, but(host, links=links(carrier=False)))
    assert "no carrier" in found.what
    assert not found.commands
    down = the(interfaces.find, but(host, links=links(up=False)))
    assert down.commands == ("ip link set dev go up",)
    assert down.safe


def test_an_interface_that_does_not_exist_is_found(host: Host):
    here = dataclasses.replace(host.here, interfaces={"go": host.here.interfaces["go"]})
    (found, *_) = interfaces.find(but(host, here=here))
    assert "no interface gi" in found.what


def test_an_inside_network_routed_outside_gets_a_route_only_if_one_interface_can_be_meant(
    host: Host, tmp_path: Path
):
    here = dataclasses.replace(host.here, route_to=lambda _: Route(Way.OUT, "go"))
    found = the(routes.find, but(host, here=here))
    assert (found.commands, found.safe) == (("ip route replace 10.0.0.0/24 dev gi",), True)
    path = tmp_path / "two.toml"
    path.write_text(TOML.replace('["gi"]', '["gi", "gj"]'))
    more = {**host.here.interfaces, "gj": (HostAddress(to_address("10.1.0.1"), 24),)}
    two = but(host, loaded=load(path), here=dataclasses.replace(here, interfaces=more))
    assert [(each.commands, each.safe) for each in routes.find(two)] == [((), False)] * 2


def test_the_reverse_path_filter_matters_only_if_it_is_strict_and_answers_leave_elsewhere(
    host: Host,
):
    away = dataclasses.replace(host.here, route_to=lambda _: Route(Way.OUT, "other"))
    strict = {"net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.go.rp_filter": "0"}
    found = the(rp_filter.find, but(host, here=away, setting=strict.get))
    assert found.commands == ("sysctl -w net/ipv4/conf/go/rp_filter=2",)
    loose = {**strict, "net.ipv4.conf.go.rp_filter": "2"}
    assert not list(rp_filter.find(but(host, here=away, setting=loose.get)))
    assert not list(rp_filter.find(but(host, setting=strict.get)))


def test_forwarding_that_is_off_matters_while_the_gateway_runs_or_cannot_switch_it_on(host: Host):
    off = but(host, setting={"net.ipv4.conf.go.forwarding": "0"}.get)
    assert not list(forwarding.find(off)), "the gateway switches it on when it starts"
    assert "--sysctl" in the(forwarding.find, but(off, writable=False)).remedy
    assert the(forwarding.find, but(off, status=STATUS)).safe
    wrong = {**STATUS, "settings_wrong": ["net.ipv4.ip_early_demux is 1 and must be 0"]}
    assert "early_demux" in the(forwarding.find, but(host, status=wrong)).what


def test_a_rule_that_may_be_meant_is_never_overruled(host: Host):
    commands = ("nft insert rule inet filter forward accept",)
    policy = Obstruction("nft inet filter", "drops", "add: ...", commands)
    assert the(firewall.find, but(host, firewall=[policy])).safe
    meant = policy._replace(is_meant=True)
    assert not the(firewall.find, but(host, firewall=[meant])).safe
    reloading = policy._replace(commands=("firewall-cmd --reload",))
    assert not the(firewall.find, but(host, firewall=[reloading])).safe
    other = Obstruction("nft ip nat", "masquerades", "remove that rule", effect="all hang")
    found = the(firewall.find, but(host, firewall=[other]))
    assert (found.remedy, found.effect) == ("remove that rule", "all hang")


def test_pings_alone_are_a_hint_which_fix_mends_as_well(host: Host):
    commands = ("nft add rule inet filter forward accept",)
    pings = Obstruction("nft inet filter", "drops", "add: ...", commands, only_pings=True)
    found = the(firewall.find, but(host, firewall=[pings]))
    assert (found.is_hint, found.safe) == (True, True)
    assert "no answer when they ping the public address" in found.effect


def test_a_gateway_without_a_fast_path_says_why(host: Host):
    slow = {**STATUS, "plane": "tun (the kernel has no eBPF)"}
    assert "no fast path: the kernel has no eBPF" in the(kernel.find, but(host, status=slow)).what
    meant = {**STATUS, "plane": "tun"}
    assert not list(kernel.find(but(host, status=meant)))


def test_whose_rules_of_iptables_they_are_is_said(host: Host):
    found = Obstruction("iptables filter", "drops", "add: ...", ("iptables -I FORWARD",))
    said = the(firewall.find, but(host, firewall=[found], rules=":DOCKER - [0:0]")).what
    assert said.endswith("(rules of Docker are loaded)")


NFT = """table ip raw { # handle 3
\tchain prerouting { # handle 1
\t\ttcp dport 21 ct helper set "standard" # handle 4
\t}
}"""


@pytest.mark.parametrize(
    ("rules", "command"),
    [
        (NFT, "nft delete rule ip raw prerouting handle 4"),
        (
            "*raw\n-A PREROUTING -p tcp --dport 21 -j CT --helper ftp\nCOMMIT",
            "iptables -t raw -D PREROUTING -p tcp --dport 21 -j CT --helper ftp",
        ),
    ],
)
def test_a_rule_that_assigns_a_helper_of_the_kernel_is_found_and_kept(
    host: Host, rules: str, command: str
):
    found = the(kernel_helpers.find, but(host, rules=rules))
    assert (found.remedy, found.safe) == (command, False)


def test_the_kernels_automatic_helpers_are_switched_off(host: Host):
    on = but(host, setting={"net.netfilter.nf_conntrack_helper": "1"}.get)
    assert the(kernel_helpers.find, on).safe


@pytest.mark.parametrize(
    ("lacking", "effect"),
    [
        ([12], "does not start"),
        ([39, 21], "the engine forwards"),
        ([38, 21], "the engine forwards"),
    ],
)
def test_a_right_that_root_lacks_is_found(lacking: list[int], effect: str):
    known = (1 << 41) - 1
    for bit in lacking:
        known &= ~(1 << bit)
    (found,) = kernel.lacking_rights(known)
    assert effect in found.effect
    assert "--cap-add" in found.remedy
    assert not list(kernel.lacking_rights((1 << 41) - 1))


def test_a_smaller_mtu_outside_matters_unless_a_rule_makes_segments_fit(host: Host):
    small = but(host, links=links(mtu=1492))
    assert "1492 bytes at most, and gi larger ones" in the(mtu.find, small).what
    assert not list(mtu.find(but(small, rules="tcp option maxseg size set rt mtu")))
    assert not list(mtu.find(but(small, rules="-j TCPMSS --clamp-mss-to-pmtu")))
    assert "mtu 1500" in the(mtu.find, but(host, links=links(mtu=100))).remedy


def test_a_program_of_other_software_is_found_and_our_own_xdp_program_is_not(host: Host):
    xdp = but(host, links=links(programs=("XDP program 17",)))
    assert "XDP program 17" in the(programs.find, xdp).what
    ours = {**STATUS, "plane": "ebpf (tc+xdp on go)"}
    assert not list(programs.find(but(xdp, status=ours)))


def test_lro_is_switched_off(host: Host, monkeypatch: pytest.MonkeyPatch):
    said = {"gi": "large-receive-offload: off [fixed]", "go": "large-receive-offload: on"}
    monkeypatch.setattr(offloads, "features", said.__getitem__)
    assert the(offloads.find, host).commands == ("ethtool -K go lro off",)


def test_limits_that_run_short_are_found(host: Host):
    short = {
        **STATUS,
        "flows": 900,
        "public_ports": [{"address": "203.0.113.1", "protocol": "tcp", "used": 80, "max": 100}],
        "hosts_near_limit": [
            {"host": "10.0.0.2", "limit": "ports_per_host", "used": 9, "max": 10, "protocol": "tcp"}
        ],
        "failures": 2,
    }
    said = [each.remedy for each in usage.find(but(host, status=short))]
    assert [any(word in each for each in said) for word in ("flows", "ports in", "10.0.0.2")] == [
        True
    ] * 3
    assert len(said) == 4


def test_the_name_of_an_address_that_is_nobodys_is_not_asked_for(host: Host):
    assert not list(names.find(host)), "203.0.113.1 is an address for documentation"


def test_commands_are_run_in_order_until_one_fails(host: Host, tmp_path: Path):
    made = tmp_path / "made"
    commands = (f"touch {made}", "echo no such luck >&2; exit 3", f"rm {made}")
    said = list(mend(Finding("a", "b", "c", "", commands, True)))
    assert said[0] == f"done: touch {made}"
    assert said[1].endswith("no such luck")
    assert len(said) == 2
    assert made.exists()


def test_a_clock_that_nothing_synchronises_matters_for_a_translation_log_only(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(clock, "is_synchronised", lambda: False)
    assert not list(clock.find(host))
    path = tmp_path / "logged.toml"
    path.write_text(TOML + f'[translation_log]\nfile = "{tmp_path}/log"\n')
    logged = but(host, loaded=load(path))
    assert "translation log" in the(clock.find, logged).effect
    monkeypatch.setattr(clock, "is_synchronised", lambda: True)
    assert not list(clock.find(logged))


def test_the_kernel_is_asked_about_the_clock():
    assert clock.is_synchronised() in (True, False)


def test_a_server_of_a_network_that_is_not_inside_is_found(host: Host, tmp_path: Path):
    path = tmp_path / "elsewhere.toml"
    path.write_text(
        TOML + '[[forward]]\nname = "web"\nprotocol = "tcp"\nport = 80\nto = "192.0.2.7:80"\n'
    )
    found = the(configuration.find, but(host, loaded=load(path)))
    assert "192.0.2.7" in found.what


def test_what_is_wrong_with_the_store_of_a_group_is_found(host: Host):
    own = {"name": "office", "role": "active", "holder": "", "trouble": "the store: no"}
    found = the(group.find, but(host, status={**STATUS, "group": own}))
    assert (found.what, found.is_hint) == ("the store: no", False)


def test_a_standby_is_a_hint_since_another_member_may_forward(host: Host):
    own = {"name": "office", "role": "standby", "holder": "gw-a"}
    found = the(group.find, but(host, status={**STATUS, "group": own}))
    assert found.is_hint
    assert "standby and forwards nothing; gw-a is active" in found.what
    assert not list(group.find(but(host, status={**STATUS, "group": {**own, "role": "active"}})))


def test_a_state_that_cannot_be_kept_is_a_hint_with_what_follows(host: Host):
    full = {"path": "/run/state.db", "kept": False, "trouble": "/run/state.db: disk is full"}
    found = the(state.find, but(host, status={**STATUS, "state": full}))
    assert found.is_hint
    assert "disk is full" in found.what
    assert "crashes" in found.effect
    assert "ipmasq upgrade" in found.effect
    assert "make room for /run/state.db" in found.remedy
    for well in ({}, {**full, "kept": True, "trouble": ""}, {"path": "/run/s", "kept": False}):
        assert not list(state.find(but(host, status={**STATUS, "state": well})))
    assert not list(state.find(host))


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway was killed here; nothing says how it was started."""
    left = Leftovers([UnreachableAdded(2, 61001)])
    monkeypatch.setattr("ipmasq.doctor.leftovers.find_leftovers", lambda: left)
    monkeypatch.setattr("ipmasq.doctor.leftovers.noted", lambda: None)


@pytest.mark.usefixtures("killed")
def test_what_a_killed_gateway_left_comes_before_a_file_that_does_not_exist(
    host: Host, tmp_path: Path
):
    first, second = examine(but(host, loaded=load(tmp_path / "none.toml")))
    assert (first.subject, first.is_hint) == ("leftovers", False)
    assert "ipmasq run with its configuration" in first.remedy
    assert "none.toml" not in first.remedy
    assert (second.subject, second.is_hint) == ("configuration", True)
    assert "none.toml: there is no such file" in second.what
    assert "ipmasq doctor FILE" in second.remedy


@pytest.mark.usefixtures("killed")
def test_a_mistake_in_a_file_that_exists_stops_a_start_after_a_kill_too(host: Host, tmp_path: Path):
    path = tmp_path / "wrong.toml"
    path.write_text(TOML + "outsid = 1\n")
    first, second = examine(but(host, loaded=load(path)))
    assert f"ipmasq run {path}" in first.remedy
    assert (second.subject, second.is_hint) == ("configuration", False)


@pytest.mark.usefixtures("killed")
@pytest.mark.parametrize(("config", "has_service"), [("/root/own.toml", False), (CONFIG, True)])
def test_the_next_start_is_that_of_the_killed_gateway(
    host: Host, monkeypatch: pytest.MonkeyPatch, config: str, has_service: bool
):
    monkeypatch.setattr("ipmasq.doctor.leftovers.noted", lambda: Started(config, ()))
    remedy = the(leftovers.find, host).remedy
    assert f"ipmasq run {config}" in remedy
    assert ("systemctl start ipmasq" in remedy) is has_service
    assert leftovers.killed_config() == config


def test_nothing_is_left_where_a_gateway_runs(host: Host, monkeypatch: pytest.MonkeyPatch):
    left = Leftovers([UnreachableAdded(2, 61001)])
    monkeypatch.setattr("ipmasq.doctor.leftovers.find_leftovers", lambda: left)
    assert not list(leftovers.find(but(host, status=STATUS)))
