"""Settings that contradict each other, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.marked import GATEWAY, assert_found_as_marked


def forward(port: str, to: str = "10.0.0.2", more: str = "", found: str = "") -> str:
    return f'[[forward]]\nport = "{port}"  {found}\nto = "{to}"\n{more}\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[limits]\n",
        "[gateway]  #! gateway.inside: is missing: who is masqueraded? #! outside: is missing: as whom?",
        "[gateway]  #! outside: is missing: as whom?\ninside = 'eth1'",
        "[gateway]  #! inside: is missing\noutside = 'eth0'",
        "[gateway]\ninside = []  #! gateway.inside: is missing\npublic = '203.0.113.1'",
    ],
)
def test_who_is_masqueraded_and_as_whom_must_be_said(tmp_path: Path, text: str):
    if "#!" in text:
        assert_found_as_marked(tmp_path, text)
    else:
        from ipmasq.config import check

        (tmp_path / "gateway.toml").write_text(text)
        errors = check(tmp_path / "gateway.toml").errors
        assert [(each.line, each.key) for each in errors] == [
            (None, "gateway.inside"),
            (None, "gateway.outside"),
        ]


@pytest.mark.parametrize(
    "text",
    [
        """[gateway]\ninside = 'eth1'\noutsid = 'eth0'  #! did you mean "outside"?""",
        """[gateway]\ninsde = 'eth1'  #! did you mean "inside"?\noutside = 'eth0'""",
        """[gateway]\ninside = 'eth1'\npubic = '203.0.113.1'  #! did you mean "public"?""",
    ],
)
def test_a_misspelled_setting_is_one_mistake_and_not_also_missing(tmp_path: Path, text: str):
    assert_found_as_marked(tmp_path, text)


def test_an_interface_is_not_on_both_sides(tmp_path: Path):
    text = '[gateway]\ninside = [\n"eth1",\n"eth0",  #! eth0 is the outside interface\n]\noutside = "eth0"'
    assert_found_as_marked(tmp_path, text)


@pytest.mark.row("4787-7")
@pytest.mark.parametrize(
    ("public", "found"),
    [
        ("10.0.0.9", "#! the public 10.0.0.9 and the inside network 10.0.0.0/24 overlap"),
        ("10.0.0.0/16", "#! the public 10.0.0.0/16 and the inside network 10.0.0.0/24 overlap"),
        ("10.0.1.9", ""),
    ],
)
def test_the_pool_is_not_inside(tmp_path: Path, public: str, found: str):
    assert_found_as_marked(tmp_path, f'{GATEWAY}public = ["{public}"]  {found}\n')


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (forward("21"), ("21", ""), "#! forward 2, port: overlaps port 21 of forward tcp-21"),
        (forward("20-30"), ("30-40", ""), "#! overlaps port 20-30 of forward tcp-20-30"),
        (forward("20-30"), ("31-40", ""), ""),
        (forward("21"), ("21", 'protocol = "udp"'), ""),
        (forward("21"), ("21", 'public = "203.0.113.1"'), "#! overlaps port 21"),
        (forward("21", more='public = "203.0.113.2"'), ("21", 'public = "203.0.113.1"'), ""),
        (forward("21", more='public = "203.0.113.1"'), ("21", 'public = "203.0.113.1"'), "#! over"),
    ],
)
def test_forwards_do_not_overlap(tmp_path: Path, one: str, other: tuple[str, str], found: str):
    port, more = other
    udp_is_doubtful = "#? inspects tcp, not udp" if "udp" in more else ""
    text = one + forward(port, "10.0.0.3", f"{more}  {udp_is_doubtful}", found)
    assert_found_as_marked(tmp_path, GATEWAY + text)


def test_of_three_forwards_each_pair_that_overlaps_is_found_in_the_order_of_the_file(
    tmp_path: Path,
):
    text = forward("30-40") + forward("20-35", "10.0.0.3", "", "#! overlaps port 30-40")
    both = "#! overlaps port 30-40 #! overlaps port 20-35"
    text += forward("34", "10.0.0.4", "", both)
    assert_found_as_marked(tmp_path, GATEWAY + text)


def test_a_forward_may_lie_in_the_range_that_is_given_out(tmp_path: Path):
    assert_found_as_marked(tmp_path, GATEWAY + forward("61000-61005"))


@pytest.mark.parametrize(
    ("port", "to"),
    [
        ("5-9", '10.0.0.2:5-8"  #! 5-8 are 4 ports, but 5-9 are 5'),
        ("5-9", '10.0.0.2:65532"  #! 5 ports from 65532 on end beyond 65535'),
        ("5-9", '10.0.0.2:65531"'),
        ("5-9", '10.0.0.2:15-19"'),
    ],
)
def test_public_and_inside_ports_of_a_forward_fit(tmp_path: Path, port: str, to: str):
    text = f'[[forward]]\nport = "{port}"\nto = "{to}\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)


def test_a_range_of_the_pool_is_not_inside(tmp_path: Path):
    mark = "#! the public 9.255.255.250-10.0.0.3 and the inside network 10.0.0.0/24 overlap"
    text = '[gateway]\ninside = ["10.0.0.0/24"]\noutside = "eth0"\n'
    assert_found_as_marked(tmp_path, f'{text}public = "9.255.255.250-10.0.0.3"  {mark}\n')


def test_a_forward_is_of_an_address_of_the_pool(tmp_path: Path):
    text = GATEWAY + 'public = ["203.0.113.0/30", "192.0.2.1"]\n'
    for address in ("203.0.113.3", "192.0.2.1"):
        assert_found_as_marked(tmp_path, text + forward("80", more=f'public = "{address}"'))
    wrong = 'public = "192.0.2.2"  #! 192.0.2.2 is not among the public addresses'
    assert_found_as_marked(tmp_path, text + forward("80", more=wrong))


def test_a_name_is_given_once(tmp_path: Path):
    text = forward("80", more='name = "web"') + forward(
        "81", more='name = "web"  #! the name "web" is that of forward 1 already'
    )
    assert_found_as_marked(tmp_path, GATEWAY + text)
    text = forward("80") + forward("81", more='name = "tcp-80"  #! is that of forward 1 already')
    assert_found_as_marked(tmp_path, GATEWAY + text)
    trigger = '[[trigger]]\nports = 5\nopens = "6-7"\n'
    second = trigger.replace("]]", ']] #! the name "tcp-5" is that of trigger 1 already')
    assert_found_as_marked(tmp_path, GATEWAY + trigger + second)


@pytest.mark.parametrize("protocol", ["icmp", "gre", "esp", "89"])
def test_only_protocols_with_ports_have_ports(tmp_path: Path, protocol: str):
    value = protocol if protocol.isdigit() else f'"{protocol}"'
    text = f"""\
[[rule]]
action = "pass"
protocol = {value}
ports = [1, 2]  #! rule 1, ports: {protocol} has no ports
from_ports = 5  #! rule 1, from_ports: {protocol} has no ports
"""
    assert_found_as_marked(tmp_path, GATEWAY + text)


HELPER = """\
from ipmasq.core.helper import Helper
class Mine(Helper):
    name, ports, protocol = "mine", (5000, 5001), {}
"""


def test_two_helpers_do_not_have_the_same_port(tmp_path: Path):
    (tmp_path / "mine.py").write_text(HELPER.format(6))
    text = '[helper.mine]\nfile = "mine.py"\nports = [20, "21-23"]  #! port 21 is already that of helper ftp\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)
    off = "[helper.ftp]\nenabled = false\n"
    assert_found_as_marked(tmp_path, GATEWAY + text.partition("#!")[0] + "\n" + off)


def test_ports_of_another_protocol_are_others(tmp_path: Path):
    (tmp_path / "mine.py").write_text(HELPER.format(17))
    text = '[helper.mine]\nfile = "mine.py"\nports = 21\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)


def test_a_class_needs_its_file(tmp_path: Path):
    text = '[helper.ftp]\nclass = "Ftp"  #! helper.ftp.class: means nothing without "file"\n'
    assert_found_as_marked(tmp_path, GATEWAY + text)


@pytest.mark.parametrize(
    "text",
    [
        '[ha]  #! ha.store: is missing #! ha.key_file: is missing\ngroup = "office"',
        '[ha]  #! ha.group: is missing: which gateways #! ha.key_file: is missing\nstore = "redis://s"',
    ],
)
def test_a_member_of_a_group_needs_a_store_and_a_key(tmp_path: Path, text: str):
    gateway = '[gateway]\ninside = "10.0.0.0/24"\npublic = "203.0.113.1"\n'
    assert_found_as_marked(tmp_path, gateway + text)


def test_the_public_addresses_of_a_group_are_named(tmp_path: Path):
    text = (
        "[gateway]  #! public: is missing: name the addresses that move\n"
        'inside = "10.0.0.0/24"\noutside = "eth0"\n'
        '[ha]\ngroup = "office"\nstore = "redis://s"\nkey_file = "/etc/ipmasq/ha.key"'
    )
    assert_found_as_marked(tmp_path, text)


GROUP = '[ha]\ngroup = "g"\nstore = "redis://192.0.2.1"\nkey_file = "/k"\n'


def fleet(*shares: str, public: str = '"203.0.113.1", "203.0.113.2"', group: str = GROUP) -> str:
    gateway = f'[gateway]\ninside = "10.0.0.0/24"\noutside = "eth0"\npublic = [{public}]\n'
    return gateway + group + "".join(shares)


def share(name: str, public: str, inside: str, found: str = "", where: str = "public") -> str:
    marks = {each: found if each == where else "" for each in ("share", "name", "public", "inside")}
    return (
        f"[[share]]  {marks['share']}\nname = '{name}'  {marks['name']}\n"
        f"public = '{public}'  {marks['public']}\ninside = '{inside}'  {marks['inside']}\n"
    )


ONE = share("one", "203.0.113.1", "10.0.0.0/25")


@pytest.mark.parametrize(
    "text",
    [
        fleet(ONE, share("two", "203.0.113.2", "10.0.0.128/25")),
        fleet(ONE, share("one", "203.0.113.2", "10.0.0.128/25", "#! a share one already", "name")),
        fleet(
            ONE,
            share("two", "203.0.113.1", "10.0.0.128/25", "#! belongs to share one already"),
            public='"203.0.113.1"',
        ),
        fleet(
            ONE,
            share("two", "203.0.113.2", "10.0.0.64/26", "#! of share one overlap", "inside"),
        ),
        fleet(
            ONE,
            share("two", "203.0.113.9", "10.0.0.128/25", "#! not among the public addresses"),
            public='"203.0.113.1"',
        ),
        fleet(
            ONE,
            public='"203.0.113.1", "203.0.113.2"]  #! belongs to no share, so nobody serves it\n#',
        ),
        fleet(
            share("one", "203.0.113.1", "10.0.0.0/25", "#! belongs to no group", "share"),
            public='"203.0.113.1"',
            group="",
        ),
    ],
)
def test_shares_are_disjoint_and_have_all_public_addresses(tmp_path: Path, text: str):
    if "#!" in text:
        assert_found_as_marked(tmp_path, text)
    else:
        from ipmasq.config import check

        (tmp_path / "gateway.toml").write_text(text)
        assert not check(tmp_path / "gateway.toml").errors
