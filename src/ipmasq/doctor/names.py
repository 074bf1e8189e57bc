"""The name of the public address, as servers look it up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from ipaddress import ip_address

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.wire.addresses import to_text

PATIENCE = 2.0
"""Seconds that a resolver may take."""


def find(host: Host) -> Iterator[Finding]:
    for address in list(map(to_text, host.sides.public))[:1]:
        if not ip_address(address).is_global:
            continue
        name, others = _in_time(address)
        if name and others and address not in others:
            yield Finding(
                "DNS",
                f"{address} has the name {name}, which is the name of {', '.join(others)}",
                "some FTP, mail and SSH servers refuse or delay hosts whose name does not lead back to them",
                "correct the PTR record of the address, or the A record of the name",
                is_hint=True,
            )


def _in_time(address: str) -> tuple[str, list[str]]:
    """Return the name of the address and the addresses of that name; nothing if no resolver answers in time."""
    pool = ThreadPoolExecutor(1)
    try:
        with suppress(OSError, TooLate):
            return pool.submit(_resolved, address).result(PATIENCE)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return "", []


def _resolved(address: str) -> tuple[str, list[str]]:
    name = socket.gethostbyaddr(address)[0]
    return name, socket.gethostbyname_ex(name)[2]
