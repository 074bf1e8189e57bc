"""Which columns each table has, the more important ones on narrow terminals too."""

from __future__ import annotations

from ipmasq.front.tables import Column, Row, duration, endpoint, size


def remote(flow: Row) -> str:
    """The remote end of a flow; of a hairpin flow also where that really is."""
    shown, real = endpoint(flow["remote"]), endpoint(flow["remote_real"])
    return shown if shown == real else f"{shown} ({real})"


FLOWS = (
    Column("flow", lambda row: str(row["id"]), justify="right"),
    Column("prot", lambda row: row["protocol"]),
    Column("inside", lambda row: endpoint(row["inside"])),
    Column("public", lambda row: endpoint(row["public"])),
    Column("remote", remote),
    Column("state", lambda row: row["state"], 76),
    Column("left", lambda row: duration(row["expires_in"]), 60, "right"),
    Column("helper", lambda row: row["helper"] or "", 95),
    Column("out", lambda row: size(row["bytes_out"]), 115, "right"),
    Column("in", lambda row: size(row["bytes_in"]), 115, "right"),
    Column("let in by", lambda row: row["origin"], 140),
)

MAPPINGS = (
    Column("prot", lambda row: row["protocol"]),
    Column("inside", lambda row: endpoint(row["inside"])),
    Column("public", lambda row: endpoint(row["public"])),
    Column("flows", lambda row: str(row["flows"]), justify="right"),
)

FORWARDS = (
    Column("name", lambda row: row["name"]),
    Column("prot", lambda row: row["protocol"]),
    Column("public", lambda row: f"{row['public'] or '*'}:{row['ports']}"),
    Column("inside", lambda row: f"{row['inside']}:{row['inside_ports']}"),
)

EXPECTATIONS = (
    Column("flow", lambda row: str(row["flow"]), justify="right"),
    Column("helper", lambda row: row["helper"]),
    Column("prot", lambda row: row["protocol"], 70),
    Column("from", lambda row: row["peer"]),
    Column("to", lambda row: endpoint(row["public"])),
    Column("announced", lambda row: endpoint(row["announced"])),
    Column("left", lambda row: duration(row["expires_in"]), justify="right"),
)


def _ports(row: Row) -> str:
    """`21, 2121`; a long list is cut."""
    ports = [str(port) for port in row["ports"]]
    return ", ".join(ports if len(ports) <= 4 else [*ports[:3], f"... ({len(ports)})"])


HELPERS = (
    Column("helper", lambda row: row["name"]),
    Column("prot", lambda row: row["protocol"], 90),
    Column("ports", _ports),
    Column("fails", lambda row: row["on_failure"], 100),
    Column("watching", lambda row: str(row["watching"]), justify="right"),
    Column("bound", lambda row: str(row["bound"]), justify="right"),
    Column("lines", lambda row: str(row["inspected"]), 70, "right"),
    Column("rewritten", lambda row: str(row["rewritten"]), justify="right"),
    Column("expected", lambda row: str(row["expected"]), justify="right"),
    Column("met", lambda row: str(row["met"]), 70, "right"),
    Column("kept", lambda row: str(row["kept_alive"]), 100, "right"),
    Column("refused", lambda row: str(sum(row["refused"].values())), 78, "right"),
    Column("failed", lambda row: str(row["failed"]), 70, "right"),
)

STATS = (
    Column("packets", lambda row: str(row["packets"]), justify="right"),
    Column("", lambda row: "dropped" if row["drop"] else ""),
    Column("reason", lambda row: row["reason"]),
    Column("which means", lambda row: row["sentence"], 60),
)

USAGE = (
    Column("used", lambda row: str(row["used"]), justify="right"),
    Column("of", lambda row: str(row["max"]), justify="right"),
    Column("", lambda row: f"{row['protocol']} ports" if "protocol" in row else "flows"),
    Column("at", lambda row: row.get("address", ""), 40),
)
