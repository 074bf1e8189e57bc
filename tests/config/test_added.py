"""A forward that is added is judged as if it stood in the file."""

from __future__ import annotations

from pathlib import Path

from ipmasq.config import Problem, load
from ipmasq.config.added import about_forward, consequences
from ipmasq.config.host_state import HostAddress, HostState
from ipmasq.core.policy import Forward, PortRange
from ipmasq.wire.addresses import to_address

HERE = HostState({"eth0": (HostAddress(to_address("203.0.113.1"), 24),)})
FILE = """
[gateway]
inside = ["10.0.0.0/24"]
outside = "eth0"
[timeouts]
udp = 5
[[forward]]
port = 8080
to = "192.168.7.7:80"
"""


def said(tmp_path: Path, inside: str, port: int = 2222) -> tuple[list[str], list[str]]:
    """Errors and warnings about a forward to this address."""
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    forward = Forward("ssh", 6, None, PortRange(port, port), to_address(inside), 22)
    report = consequences(load(path), forward, (), HERE)
    errors, warnings = (list(map(about_forward, each)) for each in (report.errors, report.warnings))
    return errors, warnings


def test_a_good_forward_says_nothing_whatever_else_is_doubtful_in_the_file(tmp_path: Path):
    assert said(tmp_path, "10.0.0.2") == ([], [])


def test_a_forward_to_a_host_that_is_not_inside_is_doubtful(tmp_path: Path):
    errors, warnings = said(tmp_path, "198.51.100.7")
    assert errors == []
    assert any("198.51.100.7 is in no inside network" in each for each in warnings)


def test_a_problem_elsewhere_is_said_with_its_place():
    assert about_forward(Problem("f", 1, "gateway.ports", "no port is left")) == (
        "gateway.ports: no port is left"
    )
    assert about_forward(Problem("f", 1, "forward 1.to", "is nowhere")) == "is nowhere"
