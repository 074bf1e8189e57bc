"""The lists of `ipmasq top`: what each asks, its columns, and by what it can be sorted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipmasq.control.protocol import Row
from ipmasq.front.tables import Column, amount, duration, endpoint

MOST = 200
"""Rows of a list."""


@dataclass(frozen=True)
class List:
    name: str
    request: str | None
    """What is asked; None if the summary has it."""
    columns: tuple[Column, ...]
    key: Callable[[Row], str]
    """Identifies a row, so that the cursor stays on it."""
    orders: tuple[str, ...] = ()
    """What the gateway can sort by, the usual order first."""
    is_renewed: bool = True
    """Whether it is asked again every two seconds. The others walk through a whole table."""


def _number(name: str) -> Callable[[Row], str]:
    return lambda row: str(row[name])


FLOWS = (
    Column("flow", _number("id"), 0, "right"),
    Column("proto", lambda row: row["protocol"], 3),
    Column("inside", lambda row: endpoint(row["inside"])),
    Column("public", lambda row: endpoint(row["public"]), 4),
    Column("remote", lambda row: endpoint(row["remote"])),
    Column("state", lambda row: row["state"], 5),
    Column("helper", lambda row: row["helper"] or "encrypted" * row["encrypted"], 1),
    Column("out B/s", lambda row: amount(row.get("rate_out", 0)), 0, "right"),
    Column("in B/s", lambda row: amount(row.get("rate_in", 0)), 0, "right"),
    Column("bytes", lambda row: amount(row["bytes_out"] + row["bytes_in"]), 2, "right"),
    Column("age", lambda row: duration(row["age"]), 6, "right"),
)

HOSTS = (
    Column("host", lambda row: row["host"]),
    Column("flows", _number("flows"), 0, "right"),
    Column("ports", _number("ports"), 0, "right"),
    Column("out B/s", lambda row: amount(row["rate_out"]), 0, "right"),
    Column("in B/s", lambda row: amount(row["rate_in"]), 0, "right"),
    Column("bytes", lambda row: amount(row["bytes"]), 0, "right"),
)

MAPPINGS = (
    Column("proto", lambda row: row["protocol"]),
    Column("inside", lambda row: endpoint(row["inside"])),
    Column("public", lambda row: endpoint(row["public"])),
    Column("flows", _number("flows"), 0, "right"),
)

EXPECTATIONS = (
    Column("control", _number("flow"), 0, "right"),
    Column("helper", lambda row: row["helper"]),
    Column("admitted from", lambda row: row["peer"]),
    Column("expected at", lambda row: endpoint(row["public"])),
    Column("announced as", lambda row: endpoint(row["announced"]), 1),
    Column("expires", lambda row: duration(row["expires_in"]), 2, "right"),
)

HELPERS = (
    Column("helper", lambda row: row["name"]),
    Column("ports", lambda row: ", ".join(map(str, row["ports"][:4])), 1),
    Column("flows", _number("flows"), 0, "right"),
    Column("lines", _number("lines"), 0, "right"),
    Column("rewritten", _number("rewritten"), 0, "right"),
    Column("expected", _number("expectations"), 0, "right"),
    Column("arrived", _number("expectations_met"), 2, "right"),
    Column("refusals", lambda row: str(sum(row["refusals"].values())), 0, "right"),
    Column("failures", _number("failures"), 0, "right"),
)

DROPS = (
    Column("reason", lambda row: row["reason"]),
    Column("per second", lambda row: amount(row["rate"]), 0, "right"),
    Column("packets", _number("packets"), 0, "right"),
)

LISTS = {
    each.name: each
    for each in (
        List("flows", "top", FLOWS, _number("id"), ("rate", "bytes")),
        List("hosts", "hosts", HOSTS, _number("host"), ("rate", "bytes", "flows", "ports")),
        List("mappings", "mappings", MAPPINGS, lambda row: str(row["public"]), is_renewed=False),
        List("expectations", "expectations", EXPECTATIONS, lambda row: str(row["public"])),
        List("helpers", "helpers", HELPERS, _number("name")),
        List("drops", None, DROPS, _number("reason")),
    )
}


def wanted(text: str) -> Row:
    """Return the arguments of a filter: `10.0.0.2 :21 tcp ftp` means host, port, protocol and helper."""
    found: Row = {}
    for word in text.split():
        if word.lower() in ("tcp", "udp", "icmp"):
            found["protocol"] = word
        elif word.startswith(":") and word[1:].isdigit():
            found["port"] = word[1:]
        elif any(character in word for character in ".:"):
            found["host"] = word
        else:
            found["helper"] = word
    return found
