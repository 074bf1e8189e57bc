"""`ipmasq ha`: the role of a gateway in its group."""

from __future__ import annotations

import time
from typing import Annotated, Any, TypeAlias

import typer

from ipmasq.front import output, tables
from ipmasq.front.asking import SOCKET, Json, Socket, ask
from ipmasq.front.exits import Code, give_up
from ipmasq.front.tables import Column

app = typer.Typer(
    help="Show or change the role of the gateway in a group.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

POLL = 0.02

RECORDS = {True: "complete", False: "incomplete", None: "-"}

MEMBERS = (
    Column("member", lambda row: str(row["name"])),
    Column("role", lambda row: str(row["role"])),
    Column("generation", lambda row: str(row["generation"]), justify="right"),
    Column("records", lambda row: RECORDS[row["complete"]]),
    Column("lag", lambda row: _lag(row), justify="right"),
    Column("refused", lambda row: str(row["refused"]), justify="right"),
    Column("serves", lambda row: ", ".join(row["serves"]) or _unless_lost(row)),
    Column("version", lambda row: str(row["version"]), rank=1),
)
SHARES = (
    Column("share", lambda row: str(row["share"])),
    Column("role here", lambda row: str(row["role"])),
    Column("holder", lambda row: row["holder"] or "none"),
    Column("generation", lambda row: str(row["generation"]), justify="right"),
    Column("records", lambda row: str(row["records"]), justify="right"),
    Column("complete", lambda row: "yes" if row["complete"] else "no"),
)

Share: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="[SHARE]", help="One share of a divided group; all if none is named."),
]


@app.command()
def active(
    share: Share = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait until it is active.")
    ] = 0.0,
    socket: Socket = SOCKET,
) -> None:
    """Let this gateway forward, as soon as no other member does.

    keepalived calls this when it has moved the addresses here. It continues with the flows of the member that was
    active before. Exit code 1 if it is not active after the time to wait.

    \b
    Example:
      ipmasq ha active --wait 5
    """
    with ask(socket) as gateway:
        given = {} if share is None else {"share": share}
        role = gateway.ask("ha_active", **given)["role"]
        end = time.monotonic() + wait
        while role != "active" and time.monotonic() < end:
            time.sleep(POLL)
            role = _role(gateway, share)
    output.say(f"this gateway is {role}")
    if wait and role != "active":
        raise give_up("it did not become active in time", Code.FAILED)


@app.command()
def standby(share: Share = None, socket: Socket = SOCKET) -> None:
    """Stop forwarding, so that another member can.

    \b
    Example:
      ipmasq ha standby
    """
    with ask(socket) as gateway:
        given = {} if share is None else {"share": share}
        role = gateway.ask("ha_standby", **given)["role"]
    output.say(f"this gateway is {role}")


@app.command()
def status(as_json: Json = False, socket: Socket = SOCKET) -> None:
    """Show the members of the group, and their roles.

    \b
    Example:
      ipmasq ha status
    """
    with ask(socket) as gateway:
        own = gateway.ask("ha_status")
        members = list(gateway.rows("ha_members"))
        shares = list(gateway.rows("ha_shares"))
    if as_json:
        output.say_json({**own, "shares": shares, "members": members})
        return
    for name, value in own.items():
        output.say_fact(name, _text(name, value))
    output.say("")
    if shares:
        tables.show(shares, SHARES, "")
        output.say("")
    tables.show(members, MEMBERS, "no member is known")
    if members and not any(each["role"] == "active" for each in members):
        output.complain(
            "no member is active, so nothing is forwarded; keepalived makes one active, or ipmasq ha active"
        )


def _lag(row: tables.Row) -> str:
    return _unless_lost(row) if row["lag"] is None else f"{row['lag']}s"


def _unless_lost(row: tables.Row) -> str:
    """Return what stands for nothing."""
    return "-" if row["role"] == "lost" else ""


def _role(gateway: Any, share: str | None) -> str:
    """Return the role for a share, or for the group."""
    if share is None:
        return str(gateway.ask("ha_status")["role"])
    shares = {each["share"]: each for each in gateway.rows("ha_shares")}
    return str(shares[share]["role"])


def _text(name: str, value: Any) -> str:
    if name == "lag":
        return "unknown" if value is None else f"{value} s"
    if name == "takeover":
        return f"{value} s" if value else "none"
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" for name, number in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else "none"
