"""Configurations that say themselves what is wrong with them.

`#! part of the message` marks a mistake in its line, `#? part` a warning. Everything that `check` finds
must be marked, in that very line, and everything marked must be found, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

from ipmasq.config import HostAddress, HostState, Problem, check
from ipmasq.config.host_state import Served
from ipmasq.core.policy import PortRange
from ipmasq.wire.addresses import Address, to_address

GATEWAY = '[gateway]\ninside = ["10.0.0.0/24"]\noutside = "eth0"\n'


def host(text: str) -> HostAddress:
    """An address of an interface, as in `ip address`."""
    address, _, length = text.partition("/")
    return HostAddress(to_address(address), int(length))


def serving(*found: tuple[int, int]) -> Served:
    """A host with servers at these (protocol, port), bound to every address."""

    def served(protocol: int, address: Address, ports: PortRange, interface: str) -> int | None:
        here = (port for kind, port in found if kind == protocol and port in ports)
        return min(here, default=None)

    return served


HERE = HostState(
    {
        "lo": (host("127.0.0.1/8"),),
        "eth0": (host("203.0.113.1/24"), host("203.0.113.2/24")),
        "eth1": (host("10.0.0.1/24"),),
        "bare": (),
    },
    ephemeral=PortRange(32768, 60999),
    served=serving((6, 22), (17, 53)),
)


def assert_found_as_marked(
    directory: Path, text: str, here: HostState | None = None
) -> tuple[Problem, ...]:
    """Everything that was found, mistakes first."""
    file = directory / "gateway.toml"
    file.write_text(dedent(text), encoding="utf-8")
    report = check(file, here)
    for mark, problems in (("#!", report.errors), ("#?", report.warnings)):
        marks = list(_marks(dedent(text), mark))
        found = [(problem.line, f"{problem.key}: {problem.message}") for problem in problems]
        assert len(marks) == len(found), report.text()
        for line, part in marks:
            matching = [said for where, said in found if where == line and part in said]
            assert len(matching) == 1, f"line {line}: {part!r} not in\n{report.text()}"
    assert {problem.path for problem in (*report.errors, *report.warnings)} <= {str(file)}
    return (*report.errors, *report.warnings)


def _marks(text: str, mark: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        for kind, part in re.findall(r"(#[!?]) ((?:(?!#[!?]).)*)", line):
            if kind == mark:
                yield number, part.strip()
