"""Tables of the file made into values of the policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.config import compile, load, tables
from ipmasq.config.model import ForwardTable
from ipmasq.config.reading import read_toml
from ipmasq.config.tables import table_of
from ipmasq.config.toml import text_of
from ipmasq.config.values import PROTOCOLS
from ipmasq.core.policy import (
    Action,
    Forward,
    Policy,
    PortRange,
    Rule,
)
from ipmasq.wire.addresses import to_address, to_network
from ipmasq.wire.visible import is_visible
from tests.config.marked import GATEWAY, HERE

INSIDE, PUBLIC = to_address("10.0.0.2"), to_address("203.0.113.1")


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: all(map(is_visible, name)) and name.strip()
)


@given(
    NAMES,
    st.sampled_from([PROTOCOLS["tcp"], PROTOCOLS["udp"]]),
    st.sampled_from([None, PUBLIC]),
    st.tuples(st.integers(1, 60000), st.integers(0, 99), st.integers(1, 60000)),
)
def test_a_forward_comes_back_as_it_was(
    name: str, protocol: int, public: bytes | None, ports: tuple[int, int, int]
):
    low, more, inside = ports
    forward = Forward(name, protocol, public, PortRange(low, low + more), INSIDE, inside)
    text = text_of({"forward": [table_of(forward)]})
    (table,) = read_toml(text)["forward"]
    assert tables.forward(ForwardTable.model_validate(table)) == forward


def compiled(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    return compile(load(file), HERE)


@pytest.mark.row("6888-6")
def test_rules_keep_their_order_and_say_what_they_are(tmp_path: Path):
    rules = """
[[rule]]
action = "pass"
to = "198.51.100.128/25"
[[rule]]
action = "drop"
from = ["10.0.0.64/26", "10.0.0.9"]
protocol = "tcp"
ports = [25, "6000-6063"]
from_ports = "1024-65535"
"""
    assert compiled(tmp_path, GATEWAY + rules).rules == (
        Rule(
            Action.PASS,
            destination=(to_network("198.51.100.128/25"),),
            text="pass to 198.51.100.128/25",
        ),
        Rule(
            Action.DROP,
            source=(to_network("10.0.0.64/26"), to_network("10.0.0.9")),
            protocol=6,
            source_ports=(PortRange(1024, 65535),),
            destination_ports=(PortRange(25, 25), PortRange(6000, 6063)),
            text="drop tcp from 10.0.0.64/26,10.0.0.9/32 from ports 1024-65535 ports 25,6000-6063",
        ),
    )


@pytest.mark.parametrize(
    ("text", "forward"),
    [
        (
            'port = 21\nto = "10.0.0.2"',
            Forward("tcp-21", 6, None, PortRange(21, 21), to_address("10.0.0.2"), 21),
        ),
        (
            'name = "web"\nprotocol = "udp"\nport = "80-81"\nto = "10.0.0.2:8080"',
            Forward("web", 17, None, PortRange(80, 81), to_address("10.0.0.2"), 8080),
        ),
        (
            'public = "203.0.113.1"\nport = "80-81"\nto = "10.0.0.2:8080-8081"',
            Forward(
                "tcp-203.0.113.1-80-81", 6, to_address("203.0.113.1"), PortRange(80, 81),
                to_address("10.0.0.2"), 8080,
            ),
        ),
    ],
)  # fmt: skip
def test_a_forward_leads_from_the_first_port_to_the_first(
    tmp_path: Path, text: str, forward: Forward
):
    assert compiled(tmp_path, f"{GATEWAY}[[forward]]\n{text}\n").forwards == (forward,)
