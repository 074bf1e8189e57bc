"""`ipmasq watch`: events as they happen."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from ipmasq.front import output
from ipmasq.front.asking import SOCKET, Helper, Host, Json, Socket, ask
from ipmasq.wire.visible import visible

KEPT = 1_000_000
"""More past events than any gateway keeps."""

EMPHASIS = {"rewritten": "36", "refused": "33", "helper_failed": "31", "events_lost": "31"}
"""Colours (ECMA-48) of the events to notice."""


def watch(
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="NAME",
            help="Only events of this name, or of these: a,b. May be repeated.",
        ),
    ] = None,
    flow: Annotated[
        int | None,
        typer.Option(metavar="FLOW", help="Only events of this flow and its data flows."),
    ] = None,
    host: Host = None,
    helper: Helper = None,
    last: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Begin with the latest N events that pass the filters."
        ),
    ] = 0,
    no_follow: Annotated[
        bool,
        typer.Option(
            "--no-follow", help="End after the past events: the latest N, or all that are kept."
        ),
    ] = False,
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """Show events, and each rewrite, as they happen.

    Of a rewrite it shows the line before and after.
    It ends with Ctrl-C, when the gateway stops, or with --no-follow. If events arrive faster than they are read, it shows how many were lost.

    \b
    Examples:
      ipmasq watch --helper ftp
      ipmasq watch --event rewritten,refused --json
      ipmasq watch --host 10.0.0.2 --last 50
      ipmasq watch --event refused --no-follow
    """
    with ask(socket) as gateway:
        names = [name.strip() for given in event or () for name in given.split(",")]
        given: dict[str, Any] = {
            "events": names,
            "flow": flow,
            "host": host,
            "helper": helper,
            "last": last,
        }
        if no_follow:
            given |= {"follow": False, "last": last or KEPT}
        events = gateway.watch(**given)
        for row in events:
            if as_json:
                output.say_json(row)
            else:
                _say(row)
            sys.stdout.flush()


def _say(row: dict[str, Any]) -> None:
    text = row["text"]
    if row["event"] == "rewritten":
        text = f"flow {row['flow']}: helper {row['helper']} rewrote what the {row['speaker']} said"
    elif "flow" in row and f"flow {row['flow']}" not in text:
        text = f"flow {row['flow']}: {text}"
    _print(f"{_clock(row)} {text}", EMPHASIS.get(row["event"]))
    if row["event"] == "rewritten":
        _print(f"             - {row['before']}", "31")
        _print(f"             + {row['after']}", "32")


def _clock(row: dict[str, Any]) -> str:
    if "time" not in row:
        return " " * 12
    milliseconds = int(row["time"] * 1000)
    clock = time.strftime("%H:%M:%S", time.localtime(milliseconds // 1000))
    return f"{clock}.{milliseconds % 1000:03d}"


def _print(text: str, colour: str | None) -> None:
    text = visible(text)
    if colour and sys.stdout.isatty():
        text = f"\x1b[{colour}m{text}\x1b[0m"
    sys.stdout.write(text + "\n")
