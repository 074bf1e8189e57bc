"""Kernel settings without which nothing is forwarded. The gateway makes them itself, if it can."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

SUBJECT = "forwarding"


def find(host: Host) -> Iterator[Finding]:
    for name in host.own:
        setting = f"net.ipv4.conf.{name}.forwarding"
        if host.setting(setting) != "0":
            continue
        command = f"sysctl -w net/ipv4/conf/{quote(name)}/forwarding=1"
        if host.status is not None:
            what = f"{setting} is 0 although the gateway runs"
            yield Finding(
                SUBJECT, what, f"nothing that comes in by {name} is forwarded", "", (command,), True
            )
        elif not host.writable:
            what = f"{setting} is 0, and the kernel's settings cannot be changed from here"
            yield Finding(
                SUBJECT,
                what,
                "the gateway does not start",
                "start the container with --sysctl net.ipv4.ip_forward=1, or with a /proc/sys that can be written",
            )
    for text in (host.status or {}).get("settings_wrong", ()):
        yield Finding(
            SUBJECT,
            text,
            "the gateway depends on it: packets may be dropped",
            "find the program that sets it (grep -r in /etc/sysctl.d), or let the gateway set it",
        )
