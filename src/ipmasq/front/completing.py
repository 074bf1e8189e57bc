"""Shell completion: names and numbers that the running gateway knows. There is no output without a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import typer

from ipmasq.control.client import Client, UnreachableError
from ipmasq.control.protocol import RequestError

PATIENCE = 2.0
"""Seconds after which a completion gives up."""

MOST = 100
"""The most values that are offered."""

Found: TypeAlias = tuple[str, str]
"""A value and its description."""
Complete: TypeAlias = Callable[[typer.Context, str], list[Found]]


def _completion(request: str, read: Callable[[dict[str, Any]], Found]) -> Complete:
    def complete(ctx: typer.Context, incomplete: str) -> list[Found]:
        found = (each for each in _ask(ctx, request, read) if each[0].startswith(incomplete))
        return list(islice(found, MOST))

    return complete


def _ask(
    ctx: typer.Context, request: str, read: Callable[[dict[str, Any]], Found]
) -> Iterator[Found]:
    try:
        with Client(ctx.params.get("socket"), PATIENCE) as gateway:
            yield from map(read, gateway.rows(request))
    except (UnreachableError, RequestError):
        return


def _endpoint(end: dict[str, Any]) -> str:
    return f"{end['address']}:{end['port']}"


forwards = _completion(
    "forwards",
    lambda row: (row["name"], f"{row['protocol']} {row['ports']} -> {row['inside']}"),
)
helpers = _completion(
    "helpers", lambda row: (row["name"], f"ports {', '.join(map(str, row['ports'][:5]))}")
)
flows = _completion(
    "flows",
    lambda row: (
        str(row["id"]),
        f"{row['protocol']} {_endpoint(row['inside'])} -> {_endpoint(row['remote'])}",
    ),
)


def timeouts(ctx: typer.Context, incomplete: str) -> list[Found]:
    """Complete `udp=`, described by its present value."""
    now = _ask(ctx, "timeouts", lambda row: ("", " ".join(_times(row))))
    settings = (each.partition("=") for _, text in now for each in text.split())
    return [
        (f"{name}=", f"now {seconds} s")
        for name, _, seconds in settings
        if f"{name}=".startswith(incomplete)
    ]


def _times(row: dict[str, Any]) -> Iterator[str]:
    ports = row.pop("udp_ports", {})
    for name, seconds in [*row.items(), *((f"udp.{port}", ports[port]) for port in ports)]:
        yield f"{name}={seconds:g}"


def installed(incomplete: str) -> list[Found]:
    """Complete the names of helpers that packages have registered."""
    from importlib.metadata import entry_points

    found = sorted({each.name for each in entry_points(group="ipmasq.helpers")})
    return [(name, "installed") for name in found if name.startswith(incomplete)]
