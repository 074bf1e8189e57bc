"""How commands are named, asked for help, and used wrongly."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.main import get_command

from ipmasq.main.cli import app
from tests.control.running import Running
from tests.front.conftest import Ipmasq
from tools.site_commands import helps

GOOD = '[gateway]\ninside = ["10.0.0.0/24"]\noutside = "eth0"\n'


@pytest.mark.parametrize(
    "command", [(), ("show",), ("show", "flows"), ("forward", "add"), ("lab",), ("lab", "up")]
)
def test_help_is_had_by_three_names(ipmasq: Ipmasq, command: tuple[str, ...]):
    long = ipmasq(*command, "--help")
    assert (long.returncode, "Usage: ipmasq" in long.stdout) == (0, True)
    assert ipmasq(*command, "-h").stdout == long.stdout
    assert ipmasq("help", *command).stdout.split() == long.stdout.split()


def test_help_about_nothing_says_so(ipmasq: Ipmasq):
    done = ipmasq("help", "forward", "move")
    assert (done.returncode, done.stderr) == (2, "ipmasq: there is no command forward move\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("close", "abc"), '"abc" is not a whole number'),
        (("show", "flows", "--port", "1.5"), '"1.5" is not a whole number'),
        (("show", "flows", "--limit", "-1"), "-1 is not in the range x>=0"),
        (("lab", "up", "--mtu", "many"), '"many" is not a whole number'),
        (("lab", "up", "--mtu", "1"), "1 is not in the range 576<=x<=65535"),
        (("run", "--plane", "air"), "'air' is not one of 'auto', 'tun'"),
    ],
)
def test_a_wrong_value_is_named_in_plain_words(ipmasq: Ipmasq, command: tuple[str, ...], said: str):
    done = ipmasq(*command)
    assert done.returncode == 2
    assert f": {said}" in done.stderr
    assert "Input should" not in done.stderr
    assert "Value error" not in done.stderr


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_configuration_is_named_with_an_option_or_without(
    ipmasq: Ipmasq, tmp_path: Path, command: str
):
    file = tmp_path / "none.toml"
    alone, option = ipmasq(command, file), ipmasq(command, "-c", file)
    assert (alone.returncode, alone.stdout) == (3, option.stdout)
    assert (option.returncode, option.stderr) == (3, alone.stderr)
    both = ipmasq(command, file, "-c", file)
    assert (both.returncode, both.stderr) == (2, "ipmasq: name one configuration file only\n")


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (("10.0.0.9", "198.51.100.1"), "source and destination: a port is missing"),
        (("10.0.0.9:4000", "198.51.100.1"), "destination: a port is missing"),
        (("10.0.0.9", "198.51.100.1:21"), "source: a port is missing"),
    ],
)
def test_a_flow_that_has_ports_is_not_explained_without_them(
    gateway: Running, ipmasq: Ipmasq, ends: tuple[str, str], said: str
):
    for protocol in ("tcp", "udp"):
        done = ipmasq("explain", protocol, *ends)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    assert ipmasq("explain", "icmp", "10.0.0.9", "198.51.100.1").returncode == 0


def test_json_is_limited_only_if_that_is_asked_for(gateway: Running, ipmasq: Ipmasq):
    for port in range(5000, 5010):
        gateway.open_udp(port=port)
    for what in ("flows", "mappings"):
        done = ipmasq("show", what, "--json", "--limit", 4)
        assert len(json.loads(done.stdout)) == 4
        assert done.stderr == "ipmasq: only the first 4 are shown; --limit 0 shows all\n"
        for limit in ((), ("--limit", 0), ("--limit", 10)):
            done = ipmasq("show", what, "--json", *limit)
            assert (len(json.loads(done.stdout)), done.stderr) == (10, "")


COMMANDS = dict(helps(get_command(app)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_has_lines_of_eighty_columns_whole_summaries_and_names_for_values(command: str):
    lines = COMMANDS[command].splitlines()
    options = [line for line in lines if re.match(r" +-", line)]
    assert options
    assert [line for line in options if re.search(r"<(str|int|list|path)\b", line)] == []
    assert [line for line in lines if re.match(r"  \S+  .*\.\.\.$", line)] == []
    assert [line for line in lines if len(line) > 80] == []
