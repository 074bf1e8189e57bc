"""The columns of each table, and which are left out first where a terminal has no room for all."""

from __future__ import annotations

from ipmasq.front.tables import Column, Row, duration, endpoint, rate, size


def remote(flow: Row) -> str:
    """The remote end of a flow; of a hairpin flow also where that really is."""
    shown, real = endpoint(flow["remote"]), endpoint(flow["remote_real"])
    return shown if shown == real else f"{shown} ({real})"


FLOWS = (
    Column("flow", lambda row: str(row["id"]), justify="right"),
    Column("proto", lambda row: row["protocol"]),
    Column("inside", lambda row: endpoint(row["inside"])),
    Column("public", lambda row: endpoint(row["public"]), 4),
    Column("remote", remote, wraps=True),
    Column("state", lambda row: row["state"], 5),
    Column("expires", lambda row: duration(row["expires_in"]), 6, "right"),
    Column("helper", lambda row: row["helper"] or "encrypted" * row.get("encrypted", False), 1),
    Column("age", lambda row: duration(row["age"]), 2, "right"),
    Column("B/s", rate, 3, "right"),
    Column("bytes out", lambda row: size(row["bytes_out"]), 7, "right"),
    Column("bytes in", lambda row: size(row["bytes_in"]), 7, "right"),
    Column("origin", lambda row: row["origin"], 8),
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
    Column("proto", lambda row: row["protocol"], 1),
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
    Column("proto", lambda row: row["protocol"], 3),
    Column("ports", _ports),
    Column("on failure", lambda row: row["on_failure"], 4),
    Column("flows now", lambda row: str(row["flows"]), justify="right"),
    Column("flows ever", lambda row: str(row["flows_total"]), justify="right"),
    Column("lines seen", lambda row: str(row["lines"]), 1, "right"),
    Column("lines rewritten", lambda row: str(row["rewritten"]), justify="right"),
    Column("flows expected", lambda row: str(row["expectations"]), justify="right"),
    Column("flows arrived", lambda row: str(row["expectations_met"]), 1, "right"),
    Column("times kept alive", lambda row: str(row["kept_alive"]), 4, "right"),
    Column("refusals", lambda row: str(sum(row["refusals"].values())), 2, "right"),
    Column("failures", lambda row: str(row["failures"]), 1, "right"),
)

STATS = (
    Column("packets", lambda row: str(row["packets"]), justify="right"),
    Column("outcome", lambda row: "dropped" if row["drop"] else ""),
    Column("reason", lambda row: row["reason"]),
    Column("description", lambda row: row["description"], 1),
)

USAGE = (
    Column("in use", lambda row: str(row["used"]), justify="right"),
    Column("limit", lambda row: str(row["max"]), justify="right"),
    Column("resource", lambda row: f"{row['protocol']} ports" if "protocol" in row else "flows"),
    Column("address", lambda row: row.get("address", ""), 1),
)
