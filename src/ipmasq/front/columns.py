"""The columns of each table, and how wide a terminal must be to show them."""

from __future__ import annotations

from ipmasq.front.tables import Column, Row, duration, endpoint, size


def remote(flow: Row) -> str:
    """The remote end of a flow; of a hairpin flow also where that really is."""
    shown, real = endpoint(flow["remote"]), endpoint(flow["remote_real"])
    return shown if shown == real else f"{shown} ({real})"


FLOWS = (
    Column("flow", lambda row: str(row["id"]), justify="right"),
    Column("proto", lambda row: row["protocol"]),
    Column("inside", lambda row: endpoint(row["inside"])),
    Column("public", lambda row: endpoint(row["public"])),
    Column("remote", remote),
    Column("state", lambda row: row["state"], 76),
    Column("expires", lambda row: duration(row["expires_in"]), 60, "right"),
    Column("helper", lambda row: row["helper"] or "encrypted" * row.get("encrypted", False), 95),
    Column("bytes out", lambda row: size(row["bytes_out"]), 115, "right"),
    Column("bytes in", lambda row: size(row["bytes_in"]), 115, "right"),
    Column("origin", lambda row: row["origin"], 140),
)

MAPPINGS = (
    Column("proto", lambda row: row["protocol"]),
    Column("inside", lambda row: endpoint(row["inside"])),
    Column("public", lambda row: endpoint(row["public"])),
    Column("flows", lambda row: str(row["flows"]), justify="right"),
)

FORWARDS = (
    Column("name", lambda row: row["name"]),
    Column("proto", lambda row: row["protocol"]),
    Column("public", lambda row: f"{row['public'] or '*'}:{row['ports']}"),
    Column("inside", lambda row: f"{row['inside']}:{row['inside_ports']}"),
)

EXPECTATIONS = (
    Column("control flow", lambda row: str(row["flow"]), justify="right"),
    Column("helper", lambda row: row["helper"]),
    Column("proto", lambda row: row["protocol"], 70),
    Column("admitted from", lambda row: row["peer"]),
    Column("expected at", lambda row: endpoint(row["public"])),
    Column("announced as", lambda row: endpoint(row["announced"])),
    Column("expires", lambda row: duration(row["expires_in"]), justify="right"),
)


def _ports(row: Row) -> str:
    """Return `21, 2121`; a long list is truncated."""
    ports = [str(port) for port in row["ports"]]
    return ", ".join(ports if len(ports) <= 4 else [*ports[:3], f"... ({len(ports)})"])


HELPERS = (
    Column("helper", lambda row: row["name"]),
    Column("proto", lambda row: row["protocol"], 90),
    Column("ports", _ports),
    Column("on failure", lambda row: row["on_failure"], 100),
    Column("flows now", lambda row: str(row["flows"]), justify="right"),
    Column("flows ever", lambda row: str(row["flows_total"]), justify="right"),
    Column("lines seen", lambda row: str(row["lines"]), 70, "right"),
    Column("lines rewritten", lambda row: str(row["rewritten"]), justify="right"),
    Column("flows expected", lambda row: str(row["expectations"]), justify="right"),
    Column("flows arrived", lambda row: str(row["expectations_met"]), 70, "right"),
    Column("times kept alive", lambda row: str(row["kept_alive"]), 100, "right"),
    Column("refusals", lambda row: str(sum(row["refusals"].values())), 78, "right"),
    Column("failures", lambda row: str(row["failures"]), 70, "right"),
)

STATS = (
    Column("packets", lambda row: str(row["packets"]), justify="right"),
    Column("outcome", lambda row: "dropped" if row["drop"] else ""),
    Column("reason", lambda row: row["reason"]),
    Column("description", lambda row: row["description"], 60),
)

USAGE = (
    Column("in use", lambda row: str(row["used"]), justify="right"),
    Column("limit", lambda row: str(row["max"]), justify="right"),
    Column("resource", lambda row: f"{row['protocol']} ports" if "protocol" in row else "flows"),
    Column("address", lambda row: row.get("address", ""), 40),
)
