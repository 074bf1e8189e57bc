"""The interfaces of the gateway: whether they exist, are up, and have addresses."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ipmasq.config.host_checks import (
    absent_inside,
    absent_outside,
    collisions,
    interfaces_in_doubt,
)
from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

SUBJECT = "interfaces"


def find(host: Host) -> Iterator[Finding]:
    config, here = host.loaded.config, host.here
    for location, message in (*absent_outside(config, here), *absent_inside(config, here)):
        fix = f"name one that exists in {host.loaded.path}, or create it"
        yield Finding(
            SUBJECT, _said(host, location, message), "no packet comes in or leaves by it", fix
        )
    for name in host.own:
        yield from _link(name, host)
    for location, message in (
        *collisions(config, here),
        *interfaces_in_doubt(config, here, host.sides),
    ):
        yield Finding(
            SUBJECT,
            _said(host, location, message),
            "packets of inside hosts are not forwarded",
            _address(message),
        )


def _link(name: str, host: Host) -> Iterator[Finding]:
    link = host.links.get(name)
    if link is None:
        return
    whose = "inside hosts behind it" if name != host.sides.outside else "remote hosts"
    if not link.up:
        command = f"ip link set dev {quote(name)} up"
        yield Finding(SUBJECT, f"{name} is down", f"{whose} are not reached", "", (command,), True)
    elif not link.carrier:
        yield Finding(
            SUBJECT,
            f"{name} is up and has no carrier",
            f"{whose} are not reached",
            "connect its cable, or switch on the device at its other end",
        )


def _said(host: Host, location: tuple[str | int, ...], message: str) -> str:
    problem = host.loaded.problem(location, message)
    return f"{problem.key}: {problem.message}"


def _address(message: str) -> str:
    if "no IPv4 address" in message:
        return "give the interface an address: ip addr add ADDRESS/LENGTH dev INTERFACE, or start its DHCP client"
    return "correct the address of the interface, or the configuration"
