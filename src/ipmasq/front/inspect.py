"""`ipmasq status` and `ipmasq explain`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ipmasq.front import output
from ipmasq.front.asking import SOCKET, Json, Socket, ask
from ipmasq.front.exits import Code, give_up
from ipmasq.wire.lines import lines, sentences


def status(as_json: Json = False, socket: Socket = SOCKET) -> None:
    """Show whether a gateway runs, since when, and how it is.

    It names its addresses, the ports in use, and what obstructs it or has failed. Exit code 4 if none runs, and
    whether one was killed here.

    \b
    Example:
      ipmasq status
    """
    with ask(socket) as gateway:
        found = next(gateway.rows("status"))
    if as_json:
        output.say_json(found)
        return
    found.pop("obstructions", None)  # `firewall` says the same
    found["flows"] = _of(found["flows"], found.pop("max_flows"))
    if not found.get("group"):
        found.pop("group", None)
    elif not found["state"]:
        found.pop("state")  # the store of the group has it
    for name, value in found.items():
        output.say_fact(name, *_texts(name, value))


NOTHING = {
    "public_ports": "none in use",
    "firewall": "nothing in the gateway's way",
    "hosts_near_limit": "none",
    "settings_wrong": "none",
}
"""What is said of an empty list whose elements have a line each."""


def _texts(name: str, value: Any) -> list[str]:
    """One line or more."""
    if name == "uptime":
        from ipmasq.front.tables import duration

        return [duration(value)]
    if name in NOTHING:
        show = {"public_ports": _ports, "hosts_near_limit": _host}.get(name, str)
        if name == "firewall":
            value = [line for each in value for line in lines(each)]
        return [show(each) for each in value] or [NOTHING[name]]
    if name == "state":
        return [_state(value)]
    if name == "group":
        return [_group(value)]
    if isinstance(value, list):
        return [", ".join(map(str, value)) or "none"]
    return [str(value)]


def _state(found: dict[str, Any]) -> str:
    """Return what the store of the state does; `found` is empty if there is none."""
    if not found:
        return "not kept"
    if not found["kept"]:
        return f"not kept: {found.get('trouble') or 'not yet'}"
    restored = found["restored_flows"]
    again = f"; flows restored: {restored:,}" if restored else ""
    count = found["records"]
    records = "1 record" if count == 1 else f"{count:,} records"
    return f"kept in {found['path']}: {records}, {found['bytes']:,} bytes{again}"


def _group(found: dict[str, Any]) -> str:
    role, serves = found["role"], ", ".join(found["serves"])
    served = f" for {serves}" * bool(serves)
    silent = "" if role == "active" else ", forwards nothing"
    other = f"; {found['holder']} is active" if found["holder"] and role == "standby" else ""
    trouble = f"; {found['trouble']}" if found["trouble"] else ""
    return f"{found['name']}: {role}{served}{silent}{other}{trouble} (ipmasq ha status)"


def _host(row: dict[str, Any]) -> str:
    what = f"{row['protocol']} ports" if row["protocol"] else "flows"
    refused = "; new flows are refused" if row["used"] >= row["max"] else ""
    return f"{row['host']} {what} {_of(row['used'], row['max'])} ({row['limit']}){refused}"


def _ports(row: dict[str, Any]) -> str:
    return f"{row['address']} {row['protocol']} {_of(row['used'], row['max'])}"


def _of(used: int, most: int) -> str:
    return f"{used:,} / {most:,}"


def explain(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="FLOW | PROTOCOL SOURCE DESTINATION",
            help="A number as `show flows` lists it; or tcp, udp or icmp with two ADDRESS:PORT.",
            show_default=False,
        ),
    ],
    side: Annotated[
        str | None,
        typer.Option(
            metavar="inside|outside",
            help="The side from which it comes, if the addresses do not tell.",
        ),
    ] = None,
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """Explain which rule and which helper a flow has, and why. The flow need not exist.

    \b
    Examples:
      ipmasq explain 17
      ipmasq explain tcp 10.0.0.2:40000 198.51.100.1:21
      ipmasq explain tcp 198.51.100.1:40000 203.0.113.1:2121
    """
    match what:
        case [flow] if flow.isdigit():
            asked: dict[str, object] = {"flow": int(flow)}
        case [protocol, source, destination]:
            asked = {"protocol": protocol, "source": source, "destination": destination}
        case _:
            text = "name a flow by its number, or say: PROTOCOL SOURCE DESTINATION"
            raise give_up(text, Code.USAGE)
    with ask(socket) as gateway:
        found = next(gateway.rows("explain", side=side, **asked))
    if as_json:
        output.say_json(found)
    else:
        _say(found)


def _say(found: dict[str, Any]) -> None:
    if found["transfer"]:
        for line in sentences(found["transfer"]):
            output.say(line)
    flow = f"flow {found['flow']}" if found["flow"] is not None else f"from {found['side']}"
    output.say(f"{flow}: {found['verdict']}")
    for step in found["steps"]:
        output.say(f"  - {step}")
    for text in found["firewall"]:
        for line in lines(f"firewall: {text}"):
            output.say(line)
    for each in found["helpers"]:
        bound = "inspects it" if each["bound"] else "does not inspect it"
        output.say(f"helper {each['helper']} {bound}: {each['reason']}")
