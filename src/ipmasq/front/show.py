"""`ipmasq show ...`: listings of the present state."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, TypeAlias

import typer

from ipmasq.control.client import Client
from ipmasq.control.role import silence
from ipmasq.front import classic, output
from ipmasq.front.asking import (
    SOCKET,
    Destination,
    DestinationPort,
    Helper,
    Host,
    Json,
    Port,
    Protocol,
    ReplyDestination,
    ReplySource,
    Socket,
    Source,
    SourcePort,
    ask,
)
from ipmasq.front.exits import Code, give_up

app = typer.Typer(
    help="List flows, mappings, forwards, helpers and other state.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Row: TypeAlias = dict[str, Any]

MOST_ROWS = 1000
"""The most rows of a table, unless another limit is given."""

OVER = "TIME_WAIT"
"""The state of a TCP flow that both ends have closed."""

Limit: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="ROWS",
        help=f"The most rows, 0 for all; by default {MOST_ROWS} of a table, and all with --json.",
    ),
]


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    IPFWADM = "ipfwadm"
    IP_MASQUERADE = "ip_masquerade"


@app.command()
def flows(
    source: Source = None,
    destination: Destination = None,
    sport: SourcePort = None,
    dport: DestinationPort = None,
    reply_src: ReplySource = None,
    reply_dst: ReplyDestination = None,
    protocol: Protocol = None,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="Only flows in this state: ESTABLISHED, TIME_WAIT, ..."),
    ] = None,
    host: Host = None,
    port: Port = None,
    helper: Helper = None,
    format_: Annotated[
        Format,
        typer.Option("--format", help="ipfwadm and ip_masquerade are the listings of Linux 2.0."),
    ] = Format.TABLE,
    every: Annotated[
        bool, typer.Option("--all", help="Also TCP flows that are over (TIME_WAIT).")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --format ipfwadm: also sequence shifts.")
    ] = False,
    limit: Limit = None,
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """List live flows: who with whom, since when, how fast.

    The helper is the one that inspects the flow. B/s are the bytes per second of both directions together, on
    average over the life of the flow (age). The filters -s, -d, -r, -q, --sport, --dport,
    -p and --state are those of `conntrack -L`. The table leaves out TCP flows that are over (TIME_WAIT) and
    says how many, unless --all or --state is given. A narrow terminal shows fewer columns; "linked" means that the flow
    does not expire while its data flows live.

    \b
    Examples:
      ipmasq show flows -s 10.0.0.2 -p tcp --dport 21
      ipmasq show flows -q 203.0.113.1 --src 10.0.0.0/24
      ipmasq show flows --helper ftp --json
      ipmasq show flows --format ipfwadm
    """
    if as_json and format_ not in (Format.TABLE, Format.JSON):
        raise give_up(f"--json and --format {format_.value} exclude each other", Code.USAGE)
    filters = {
        "source": source,
        "destination": destination,
        "source_port": sport,
        "destination_port": dport,
        "reply_source": reply_src,
        "reply_destination": reply_dst,
        "protocol": protocol,
        "state": state,
        "host": host,
        "port": port,
        "helper": helper,
    }
    with ask(socket) as gateway:
        chosen = Format.JSON if as_json else format_
        _show_flows(gateway, chosen, limit, verbose, every or state is not None, filters)


def _show_flows(
    gateway: Client, chosen: Format, limit: int | None, verbose: bool, every: bool, filters: Row
) -> None:
    if chosen in (Format.IPFWADM, Format.IP_MASQUERADE):
        # This request comes before the flows, since a connection has one answer at a time.
        whole_time = next(gateway.rows("timeouts"))["tcp_established"]
        free = _free(gateway) if chosen is Format.IP_MASQUERADE else (0, 0, 0)
    rows = _or_silence(gateway, gateway.rows("flows", **filters))
    match chosen:
        case Format.JSON:
            _json(rows, limit)
        case Format.IPFWADM:
            _lines(classic.ipfwadm(_some(rows, limit), whole_time, verbose))
            _tell_of_more(rows, limit)
        case Format.IP_MASQUERADE:
            _lines(classic.ip_masquerade(_some(rows, limit), free, whole_time))
            _tell_of_more(rows, limit)
        case Format.TABLE:
            from ipmasq.front import columns

            is_filtered = any(each is not None for each in filters.values())
            empty = "There is no such flow." if is_filtered else "There are no flows."
            states = Counter[str]()
            shown = rows if every else _except_over(rows, states)
            _table(shown, columns.FLOWS, empty, limit)
            if states[OVER]:
                _tell_of_over(states[OVER])


def _except_over(rows: Iterator[Row], states: Counter[str]) -> Iterator[Row]:
    """Yield the flows of which more may be to come. Count all by their state."""
    for row in rows:
        states[row["state"]] += 1
        if row["state"] != OVER:
            yield row


def _tell_of_over(count: int) -> None:
    are = "flow is" if count == 1 else "flows are"
    sys.stdout.flush()  # or this line comes first in a pipe
    output.complain(f"{count} TCP {are} over ({OVER}) and not shown; --all shows all")


@app.command()
def mappings(
    host: Host = None,
    port: Port = None,
    protocol: Protocol = None,
    limit: Limit = None,
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """List inside endpoints and their public endpoints.

    \b
    Example:
      ipmasq show mappings --host 10.0.0.2
    """
    from ipmasq.front import columns

    filters = {"host": host, "port": port, "protocol": protocol}
    _show(socket, "mappings", columns.MAPPINGS, "There are no mappings.", as_json, limit, **filters)


@app.command()
def forwards(as_json: Json = False, socket: Socket = SOCKET) -> None:
    """List published servers (port forwards).

    \b
    Example:
      ipmasq show forwards --json
    """
    from ipmasq.front import columns

    _show(socket, "forwards", columns.FORWARDS, "No server is published.", as_json)


@app.command()
def expectations(as_json: Json = False, socket: Socket = SOCKET) -> None:
    """List flows that helpers expect and that are still to come.

    \b
    Example:
      ipmasq show expectations
    """
    from ipmasq.front import columns

    _show(socket, "expectations", columns.EXPECTATIONS, "No flow is expected.", as_json)


@app.command()
def helpers(as_json: Json = False, socket: Socket = SOCKET) -> None:
    """List loaded helpers, their ports, and what they did.

    \b
    Example:
      ipmasq show helpers
    """
    from ipmasq.front import columns

    with ask(socket) as gateway:
        rows = list(gateway.rows("helpers"))
    if as_json:
        output.say_json_list(rows)
        return
    _table(iter(rows), columns.HELPERS, "No helper is loaded.")
    for row in rows:
        for reason, count in row["refusals"].items():
            output.say(f"{row['name']} refused {count}: {reason}")


@app.command()
def stats(
    every: Annotated[
        bool, typer.Option("--all", help="Also list reasons that have not occurred.")
    ] = False,
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """Count packets by outcome, and flows and ports in use.

    Packets are counted since the start. docs/reasons.md explains each reason.

    \b
    Example:
      ipmasq show stats --all
    """
    from ipmasq.front import columns

    with ask(socket) as gateway:
        rows = gateway.rows("stats")
        if as_json:
            output.say_json_list(rows)
            return
        seen = (row for row in rows if every or row["packets"])
        _table(seen, columns.STATS, "No packet has arrived yet.")
        status = next(gateway.rows("status"))
    flows = {"used": status["flows"], "max": status["max_flows"]}
    _table(iter([flows, *status["public_ports"]]), columns.USAGE, "")


def _show(
    socket: str,
    request: str,
    columns: Any,
    empty: str,
    as_json: bool,
    limit: int | None = 0,
    **filters: object,
) -> None:
    with ask(socket) as gateway:
        rows = _or_silence(gateway, gateway.rows(request, **filters))
        if as_json:
            _json(rows, limit)
        else:
            _table(rows, columns, empty, limit)


def _or_silence(gateway: Client, rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows. If there are none, say so of a member of a group that has none since it forwards nothing."""
    first = next(rows, None)
    if first is not None:
        yield first
        yield from rows
    elif said := silence(next(gateway.rows("status")).get("group")):
        output.complain(said)


def _some(rows: Iterator[Row], limit: int | None) -> Iterator[Row]:
    return islice(rows, limit or None)


def _json(rows: Iterator[Row], limit: int | None) -> None:
    output.say_json_list(_some(rows, limit))
    _tell_of_more(rows, limit)


def _table(rows: Iterator[Row], columns: Any, empty: str, limit: int | None = 0) -> None:
    from ipmasq.front import tables

    limit = MOST_ROWS if limit is None else limit
    tables.show(_some(rows, limit), columns, empty)
    _tell_of_more(rows, limit)


def _tell_of_more(rows: Iterator[Row], limit: int | None) -> None:
    if limit and next(rows, None) is not None:
        output.complain(f"only the first {limit} are shown; --limit 0 shows all")


def _lines(lines: Iterator[str]) -> None:
    for line in lines:
        output.say(line)


def _free(gateway: Client) -> tuple[int, int, int]:
    """Return the free ports for UDP, TCP and ICMP over all public addresses, in the order of that file."""
    status = next(gateway.rows("status"))
    words = (word.partition("-") for word in status["ports"].split(", "))
    ports = [range(int(low), int(high or low) + 1) for low, _, high in words if low]
    taken = Counter(
        row["protocol"]
        for row in gateway.rows("mappings")
        if any(row["public"]["port"] in each for each in ports)
    )
    whole = sum(map(len, ports)) * len(status["public"])
    return whole - taken["udp"], whole - taken["tcp"], whole - taken["icmp"]
