"""Ports and flows of the running gateway that run short, and faults that it has counted."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

SUBJECT = "limits"
NEAR = 0.8
"""The part of a limit from which on it is reported, as by the event LimitNeared."""
REFUSED = "new connections are refused when it is reached"


def find(host: Host) -> Iterator[Finding]:
    status = host.status
    if status is None:
        return
    if status["flows"] >= NEAR * status["max_flows"]:
        what = f"{status['flows']:,} of {status['max_flows']:,} flows are in use"
        yield Finding(SUBJECT, what, REFUSED, _more("limits", "flows"))
    for each in status["public_ports"]:
        if each["used"] >= NEAR * each["max"]:
            what = f"{each['used']:,} of {each['max']:,} {each['protocol']} ports of {each['address']} are in use"
            yield Finding(
                SUBJECT, what, REFUSED, _more("gateway", "ports", "or add a public address")
            )
    for each in status["hosts_near_limit"]:
        what = f"{each['host']} uses {each['used']:,} of the {each['max']:,} that one host may have"
        fix = f"see what it does: ipmasq show flows --host {each['host']}; {_more('limits', each['limit'])}"
        yield Finding(SUBJECT, what, f"{REFUSED}, for this host alone", fix)
    if status["failures"]:
        what = f"{status['failures']:,} packet(s) or timers failed by an internal error of ipmasq"
        yield Finding(
            "faults", what, "these packets were lost", "report it, with the log (docs/security.md)"
        )


def _more(table: str, key: str, other: str = "") -> str:
    return f"raise {key} in [{table}], then: ipmasq reload" + (f"; {other}" if other else "")
