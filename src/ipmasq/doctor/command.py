"""`ipmasq doctor`."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipmasq.doctor.lasting import how_long
from ipmasq.front.asking import CONFIG, SOCKET, Json, Socket
from ipmasq.front.exits import Code
from ipmasq.front.output import complain, say, say_json_list

if TYPE_CHECKING:
    from ipmasq.doctor.finding import Finding

WIDTH = 78

NOTHING = "nothing was found that keeps traffic from passing"
ASK = "Rules about single hosts or ports: ask `ipmasq explain PROTOCOL SOURCE DESTINATION`."


def doctor(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help=f"The configuration; by default that of the gateway that runs or was killed here, else {CONFIG}.",
            show_default=False,
        ),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Run the commands that are safe, and say which.")
    ] = False,
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """Find what keeps the gateway from working.

    Each finding says what to do; a hint is about what does not keep traffic from passing. Nothing is changed without --fix.

    Exit code 1 if something keeps traffic from passing (with --fix: still does).

    \b
    Examples:
      ipmasq doctor
      ipmasq doctor gateway.toml --fix
    """
    from ipmasq.doctor.examine import examine, mend
    from ipmasq.doctor.finding import Finding
    from ipmasq.doctor.host import ask_forwards, ask_gateway, look
    from ipmasq.doctor.leftovers import killed_config
    from ipmasq.doctor.rights import left_out

    status = ask_gateway(socket)
    path = file or (status or {}).get("config") or killed_config() or CONFIG
    found = examine(look(path, status, ask_forwards(socket)))
    done, tried = [], set[Finding]()
    while fix and (safe := [each for each in found if each.safe and each not in tried]):
        done += [line for each in safe for line in mend(each)]
        tried.update(safe)
        found = examine(
            look(path, ask_gateway(socket), ask_forwards(socket))
        )  # an interface that is up may lack a route
    if as_json:
        rows = [*({"done": line} for line in done), *(each.as_json() for each in found)]
        say_json_list([*rows, *({"left_out": each} for each in left_out())])
    else:
        for each in left_out():
            complain(f"not examined: {each}")
        _say(path, status, done, found)
    if _wrong(found):
        raise typer.Exit(Code.FAILED)


def _wrong(found: tuple[Finding, ...]) -> int:
    """Return the number of findings that keep traffic from passing."""
    return sum(not each.is_hint for each in found)


def _say(path: str, status: Any, done: list[str], found: tuple[Finding, ...]) -> None:
    running = "a gateway runs" if status else "no gateway runs"
    say(f"{path}: {running} here")
    for line in done:
        say(line)
    for text in how_long(done):
        for line in wrap(text, WIDTH, subsequent_indent="  "):
            say(line)
    for each in found:
        say()
        _say_one(each)
    if any(each.safe for each in found):
        say()
        say("--fix runs the commands that are marked as safe.")
    say()
    say(_summary(found))
    if not _wrong(found):
        say(ASK)


def _summary(found: tuple[Finding, ...]) -> str:
    wrong = _wrong(found)
    hints = len(found) - wrong
    said = f"{wrong} finding{'s' * (wrong > 1)}" if wrong else NOTHING
    return f"{said}; {hints} hint{'s' * (hints > 1)}" if hints else said


def _ended(text: str) -> str:
    """Return the sentence with its full stop, unless it ends in another way."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _say_one(finding: Finding) -> None:
    text = _ended(f"{'hint: ' * finding.is_hint}{finding.subject}: {finding.what}")
    for line in wrap(text, WIDTH, subsequent_indent="  "):
        say(line)
    for line in wrap(
        f"effect: {finding.effect}.", WIDTH, initial_indent="  ", subsequent_indent="    "
    ):
        say(line)
    safe = " (safe)" if finding.safe else ""
    for line in finding.commands:
        say(f"  fix{safe}: {line}")
    if not finding.commands:
        text = _ended(f"fix: {finding.fix}")
        for line in wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    "):
            say(line)
