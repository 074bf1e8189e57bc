"""The listings of Linux 2.0: `ipfwadm -M -l`, and /proc/net/ip_masquerade, the file that it read.

The formats are those that the programs of that time printed and parsed, to the column. Sequence shifts are
those of the outgoing direction. A flow that is kept alive by its data flows has no expiry of its own; it is
shown with its whole idle time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]

HZ = 100
"""Jiffies per second at that time."""


def ipfwadm(flows: Iterable[Row], whole_time: float, verbose: bool = False) -> Iterator[str]:
    """Yield the lines. `whole_time` is in seconds, for a flow that its data flows keep alive. `verbose` adds
    the shifts (-e)."""
    yield "IP masquerading entries"
    deltas = f"{'initseq':>10} delta prevd " if verbose else ""
    for number, flow in enumerate(flows):
        if number == 0:
            yield f"prot {'expire':<8} {deltas}{'source':<20} {'destination':<20} ports"
        yield _ipfwadm_row(flow, whole_time, verbose)


def _ipfwadm_row(flow: Row, whole_time: float, verbose: bool) -> str:
    jiffies = _jiffies(flow, whole_time)
    minutes, seconds = jiffies // (60 * HZ), jiffies // HZ % 60
    shift = flow["shift_out"]
    deltas = "%10d %5d %5d " % tuple(shift.values()) if verbose else ""
    inside, remote = flow["inside"], flow["remote"]
    return (
        f"{flow['protocol']:<5}{minutes:02d}:{seconds:02d}.{jiffies % HZ:02d} {deltas}"
        f"{inside['address']:<20} {remote['address']:<20} "
        f"{inside['port']} ({flow['public']['port']}) -> {remote['port']}"
    )


def ip_masquerade(
    flows: Iterable[Row], free: tuple[int, int, int], whole_time: float
) -> Iterator[str]:
    """Yield the lines. `free` is the number of free ports for UDP, TCP and ICMP."""
    counts = "%d,%d,%d" % free
    title = f"Prc FromIP   FPrt ToIP     TPrt Masq Init-seq  Delta PDelta Expires (free={counts})"
    yield f"{title:<127}"
    for flow in flows:
        yield f"{_proc_row(flow, whole_time):<127}"


def _proc_row(flow: Row, whole_time: float) -> str:
    inside, remote, shift = flow["inside"], flow["remote"], flow["shift_out"]
    return "%s %08X:%04X %08X:%04X %04X %08X %6d %6d %7d" % (
        flow["protocol"].upper(),
        int(IPv4Address(inside["address"])),
        inside["port"],
        int(IPv4Address(remote["address"])),
        remote["port"],
        flow["public"]["port"],
        shift["init_seq"],
        shift["delta"],
        shift["previous_delta"],
        _jiffies(flow, whole_time),
    )


def _jiffies(flow: Row, whole_time: float) -> int:
    left = flow["expires_in"]
    return round((whole_time if left is None else left) * HZ)
