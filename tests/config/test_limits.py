"""Limits that are too large, too small, or larger than what they are a part of."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipmasq.config import check
from ipmasq.config.model import LimitsTable, TimeoutsTable
from tests.config.marked import GATEWAY, assert_found_as_marked


@pytest.mark.parametrize("key", list(LimitsTable.model_fields))
def test_a_number_has_an_upper_bound(tmp_path: Path, key: str):
    text = (
        f"{GATEWAY}[limits]\n{key} = 99999999999999999  #! 99999999999999999 is too large; at most "
    )
    assert_found_as_marked(tmp_path, text)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("flows", "(flows, a whole number from 1 to 100,000,000)"),
        ("ports_per_host", "(ports, a whole number from 1 to 65,535)"),
        ("fragmented_datagrams", "(datagrams, a whole number from 1 to 65,535)"),
        ("stream_memory", "(bytes, a whole number from 1 to 1,099,511,627,776)"),
        ("lines", "(lines per second, a whole number from 1 to 100,000,000)"),
        ("untracked_pps_per_side", "(packets per second, a whole number from 1 to 100,000,000)"),
    ],
)
@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("0", "0 is too small; at least 1"),
        ("1_000_000_000_000_000", "1000000000000000 is too large; at most"),
        (f"0x{'f' * 5000}", "this number of hundreds of digits is too large"),
        ("1e9", "1000000000.0 is not a whole number, as it has a point or an exponent"),
        ("2.5", "2.5 is not a whole number ("),
        ("inf", "inf is not a whole number ("),
        ('"5000"', '"5000" is not a whole number; write it without quotes'),
        ('"5k"', '"5k" is not a whole number ('),
        ('""', '"" is not a whole number ('),
        ("[5]", "[5] is not a whole number ("),
    ],
)
def test_a_wrong_number_is_told_its_unit_and_its_range(
    tmp_path: Path, key: str, meant: str, value: str, wrong: str
):
    file = tmp_path / "gateway.toml"
    file.write_text(f"{GATEWAY}[limits]\n{key} = {value}\n")
    (problem,) = check(file).errors
    assert (problem.line, problem.key) == (5, f"limits.{key}")
    assert problem.message.startswith(wrong)
    assert problem.message.endswith(meant)


@pytest.mark.parametrize(
    "lines",
    [
        "ports = 5000  #? 1 port is all for flows of all inside hosts together, of each protocol",
        'ports = "61000-61999"  #? 1,000 ports are all for flows of all inside hosts together',
        'ports = "61000-65095"',
        'data_ports = "50000-50014"  #? 15 ports are all for the data connections',
        'data_ports = "50000-50099"',
        'ports = "61000-61009"  #? 10 ports are all for flows to one server\n'
        'mapping = "address-and-port-dependent"',
        'ports = "61000-61099"\nmapping = "address-and-port-dependent"',
    ],
)
def test_fewer_public_ports_than_a_household_needs_are_doubtful(tmp_path: Path, lines: str):
    assert_found_as_marked(tmp_path, f"{GATEWAY}{lines}\n")


@pytest.mark.parametrize("key", list(TimeoutsTable.model_fields))
def test_an_idle_time_has_an_upper_bound(tmp_path: Path, key: str):
    time = '{ 53 = "99999d" }' if key == "udp_ports" else '"99999d"'
    text = f"{GATEWAY}[timeouts]\n{key} = {time}  #! is too long; at most 36500d"
    assert_found_as_marked(tmp_path, text)


@pytest.mark.parametrize(
    "lines",
    [
        "lines = 1  #? 1 is very few: every connection that a helper inspects would wait",
        "lines_per_host = 1  #? 1 is very few",
        "stream_bytes = 1  #? 1 is very few: a long line",
        "untracked_pps_per_host = 1  #? 1 is very few: a web page",
        "ports_per_host = 4000",
        "flows = 1000\nflows_per_host = 1001  #? 1,001 is more than the 1,000 flows that all hosts",
        "flows = 1000",
        "lines_per_host = 20_001  #? 20,001 is more than the 20,000 lines that all hosts",
        "untracked_pps_per_host = 10_001  #? 10,001 is more than the 10,000 packets that all hosts",
        "stream_memory = 1_000_000\nstream_memory_per_host = 2_000_000  #? is more than the 1,000,000",
        "stream_memory = 500_000  #? 500,000 is less than both directions of one connection may need",
        "stream_memory_per_host = 1  #? is less than both directions",
        "stream_memory_per_host = 600_000",
    ],
)
def test_limits_that_contradict_or_allow_nothing_are_doubtful(tmp_path: Path, lines: str):
    assert_found_as_marked(tmp_path, f"{GATEWAY}[limits]\n{lines}\n")


def test_a_host_cannot_have_more_ports_than_there_are(tmp_path: Path):
    text = 'ports = "61000-62999"\n[limits]\nports_per_host = {}\n'
    assert_found_as_marked(tmp_path, GATEWAY + text.format(2000))
    mark = "2001  #? 2,001 is more than the 2,000 of 61000-62999"
    assert_found_as_marked(tmp_path, GATEWAY + text.format(mark))


def test_a_connection_that_opens_or_closes_is_not_kept_longer_than_others(tmp_path: Path):
    text = (
        f'{GATEWAY}[timeouts]\ntcp_closing = "3h"  #? 3h is longer than an established connection'
    )
    assert_found_as_marked(tmp_path, text)
