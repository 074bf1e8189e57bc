"""Which ports are given out, by what is written and by what the host takes for itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipmasq.config import check, compile, load
from ipmasq.config.public_ports import automatic
from ipmasq.core.policy import PortRange, Ports
from tests.config.marked import GATEWAY, HERE, assert_found_as_marked


def ports(directory: Path, line: str) -> Ports:
    file = directory / "gateway.toml"
    file.write_text(f"{GATEWAY}{line}\n")
    return compile(load(file), HERE).ports


@pytest.mark.parametrize(
    "line",
    [
        'ports = ["1024-9999", "61000-65535", 20000]',
        'ports = "20000, 61000-65535, 1024-9999"',
        'ports = ["1024-5000", "4000-9999", 20000, "61000-65535"]',
    ],
)
def test_several_ranges_are_a_list_or_stand_in_one_text(tmp_path: Path, line: str):
    assert str(ports(tmp_path, line)) == "1024-9999, 20000, 61000-65535"


def test_the_classic_choice_is_one_range(tmp_path: Path):
    assert ports(tmp_path, 'ports = "61000-65095"') == PortRange(61000, 65095)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("[]", "there is no port in an empty list"),
        ('"1024-9999, 9-5"', 'is reversed; write "5-9"'),
        ('"1024-9999,"', '"" is not a port'),
        ('"automatic"', '"automatic" is not a port'),
        ("[21, 70000]", "there is no port 70000"),
        ("{}", "{} is not a port"),
        ("true", "true is not a port"),
    ],
)
def test_what_is_wrong_with_ranges_is_said(tmp_path: Path, value: str, sentence: str):
    assert_found_as_marked(tmp_path, f"{GATEWAY}ports = {value}  #! {sentence}\n")


@pytest.mark.parametrize(
    ("ephemeral", "reserved", "found"),
    [
        ((32768, 60999), (), "1024-32767, 61000-65535"),
        ((10000, 65535), (), "1024-9999"),
        ((49152, 65535), (), "1024-49151"),
        ((20000, 40000), ((30000, 30009), (8080, 8080)), "1024-19999, 30000-30009, 40001-65535"),
        # Nearly everything is the host's: it keeps what is usual.
        ((1024, 65535), (), "1024-32767, 61000-65535"),
        ((2000, 65000), (), "1024-32767, 61000-65535"),
        ((1024, 65535), ((20000, 29999),), "20000-29999"),
    ],
)
def test_auto_is_what_the_host_does_not_take(
    ephemeral: tuple[int, int], reserved: tuple[tuple[int, int], ...], found: str
):
    here = replace(
        HERE, ephemeral=PortRange(*ephemeral), reserved=tuple(PortRange(*r) for r in reserved)
    )
    assert str(automatic(here)) == found


def test_auto_supposes_what_is_usual_where_the_host_does_not_say():
    assert str(automatic(replace(HERE, ephemeral=None))) == "1024-32767, 61000-65535"


@pytest.mark.parametrize("low", [1024, 20000, 32768, 50000])
@pytest.mark.parametrize("high", [50000, 61000, 65535])
def test_auto_always_leaves_the_host_ports_and_is_never_small(low: int, high: int):
    here = replace(HERE, ephemeral=PortRange(low, high))
    found = automatic(here)
    assert found.size >= 4096
    assert any(port not in found for port in range(low, high + 1))


def test_auto_has_nothing_doubtful_on_any_host(tmp_path: Path):
    file = tmp_path / "gateway.toml"
    file.write_text(f'{GATEWAY}ports = "auto"\n')
    for ephemeral in ((32768, 60999), (1024, 65535), (10000, 65535)):
        here = replace(HERE, ephemeral=PortRange(*ephemeral))
        assert check(file, here).text() == "0 errors, 0 warnings"


@pytest.mark.parametrize(
    "settings",
    [
        'ports = "16384-65535"  #! no port of 32768-60999 is left #? overlaps 32768-60999',
        'data_ports = "40000-60999"  #? overlaps 32768-60999\n'
        'ports = ["20000-39999"]  #! no port of 32768-60999 is left #? overlaps 32768-60999',
        'ports = "1024-50000"  #! no port of 32768-60999 is left #? overlaps 32768-60999\n'
        '[[forward]]\nport = "50001-60999"\nto = "10.0.0.2"',
    ],
)
def test_what_leaves_the_host_no_port_is_a_mistake_as_the_gateway_would_refuse_it(
    tmp_path: Path, settings: str
):
    assert_found_as_marked(tmp_path, f"{GATEWAY}{settings}\n", HERE)


def test_of_an_address_that_the_host_does_not_have_it_needs_no_port(tmp_path: Path):
    text = f'{GATEWAY}public = "203.0.113.9"\nports = "16384-65535"  #? overlaps 32768-60999\n'
    assert_found_as_marked(tmp_path, text, HERE)
