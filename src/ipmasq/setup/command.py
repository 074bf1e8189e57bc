"""`ipmasq setup`: at most three questions, and a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ipmasq.front.asking import CONFIG
from ipmasq.front.exits import Code, give_up
from ipmasq.front.output import say

if TYPE_CHECKING:
    from ipmasq.config import HostState
    from ipmasq.setup.survey import Survey
    from ipmasq.setup.writing import Server

WIDTH = 78
UNANSWERED = (
    "setup asks questions, and there is nobody to answer them, so nothing was written; ipmasq setup --yes takes the proposed"
    " answers"
)
UNIT = "ipmasq.service"
UNITS = tuple(
    Path(each, UNIT)
    for each in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
)


def setup(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help=f"The file to write; {CONFIG} by default.", show_default=False
        ),
    ] = Path(CONFIG),
    inside: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An inside interface; may be repeated."),
    ] = None,
    outside: Annotated[
        str | None, typer.Option(metavar="NAME", help="The outside interface.")
    ] = None,
    publish: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS[:PORT]", help="A server to publish; port 21 (FTP) by default."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing FILE.")] = False,
) -> None:
    """Write a first configuration, from what is found here.

    It looks at this host and asks at most three questions. Nothing else is changed.

    \b
    Examples:
      ipmasq setup
      ipmasq setup --yes
      ipmasq setup gateway.toml --inside eth1 --publish 10.0.0.2
    """
    from ipmasq.config import read_host_state
    from ipmasq.setup.survey import Unsuitable, survey
    from ipmasq.setup.writing import configuration, write

    if file.exists() and not force:
        raise give_up(f"{file} exists; name another file, or replace it with --force")
    here = read_host_state()
    _check_exist([*(inside or ()), *([outside] if outside else ())], here)
    try:
        found = survey(here, outside)
        if not (yes or outside):
            found = survey(here, _ask_outside(found, here))
    except Unsuitable as reason:
        raise give_up(str(reason)) from None
    inside = inside or (list(found.inside) if yes else _ask_inside(found, here))
    server = _server(publish) if publish or yes else _ask_server()
    _check_names(inside, found, here)
    text = configuration(file, inside, found.outside, server)
    write(file, text)
    for line in _report(file, inside, found, here):
        say(line)


def _check_exist(names: list[str], here: HostState) -> None:
    for name in names:
        if name not in here.interfaces:
            have = ", ".join(here.interfaces)
            raise give_up(f"there is no interface {name}; there are {have}", Code.USAGE)


def _check_names(inside: list[str], found: Survey, here: HostState) -> None:
    for name in inside:
        if name not in here.interfaces or name == found.outside:
            have = ", ".join(found.inside)
            raise give_up(f"{name} cannot be an inside interface; these can: {have}", Code.USAGE)


def _ask_outside(found: Survey, here: HostState) -> str:
    from ipmasq.setup.survey import describe

    for name in (found.outside, *found.inside, *found.others):
        say(f"  {describe(name, here)}")
    return _ask("Which interface leads outside", found.outside)


def _ask_inside(found: Survey, here: HostState) -> list[str]:
    answer = _ask("Behind which are the inside hosts", " ".join(found.inside))
    return answer.replace(",", " ").split()


def _ask_server() -> Server | None:
    question = "Publish a server that is inside, ADDRESS or ADDRESS:PORT (empty: none)"
    return _server(_ask(question))


def _ask(question: str, proposed: str = "") -> str:
    """Raises typer.Exit if nobody answers: the input has ended."""
    try:
        return str(typer.prompt(question, default=proposed, show_default=bool(proposed)))
    except typer.Abort as abort:
        if not isinstance(abort.__context__, EOFError):  # Ctrl-C
            raise
        say()
        raise give_up(UNANSWERED) from None


def _server(text: str | None) -> Server | None:
    """Return the server that an answer names. Raises typer.Exit if it names none."""
    from ipmasq.setup.writing import FTP, Server
    from ipmasq.wire.addresses import to_address

    if not text or not text.strip():
        return None
    address, _, port = text.strip().partition(":")
    try:
        known = len(to_address(address)) == 4 and 0 < int(port or FTP) < 1 << 16
    except ValueError:
        known = False
    if not known:
        raise give_up(f"{text} is no server such as 10.0.0.2 or 10.0.0.2:21", Code.USAGE)
    return Server(address, int(port or FTP))


def _report(file: Path, inside: list[str], found: Survey, here: HostState) -> Iterator[str]:
    from ipmasq.setup.survey import describe

    yield f"outside: {describe(found.outside, here)}"
    for name in inside:
        yield f"inside:  {describe(name, here)}"
    for name in (each for each in (*found.inside, *found.others) if each not in inside):
        yield f"left as it is: {describe(name, here)}"
    yield from _services()
    yield f"written: {file}"
    yield from _doubts(file)
    yield from _next(file)


def _services() -> Iterator[str]:
    """Name the ports at which the host itself serves others: they stay its own."""
    from ipmasq.gateway.host import TCP, ports_in_use

    ports = sorted(port for protocol, port in ports_in_use() if protocol == TCP and port < 1024)
    if ports:
        yield f"this host's own TCP ports, which stay its own: {', '.join(map(str, ports))}"


def _doubts(file: Path) -> Iterator[str]:
    """Say what `ipmasq doctor` finds with this file."""
    from ipmasq.doctor.examine import examine
    from ipmasq.doctor.host import look

    found = examine(look(str(file), None))
    for each in found:
        yield from wrap(f"found: {each.subject}: {each.what}", WIDTH, subsequent_indent="  ")
    if found:
        yield f"ipmasq doctor {file} says what to do about {'it' if len(found) == 1 else 'them'}"


def _next(file: Path) -> Iterator[str]:
    yield "next:"
    yield f"  ipmasq check {file}"
    if str(file) == CONFIG and any(each.exists() for each in UNITS):
        yield "  systemctl enable --now ipmasq"
    else:
        yield f"  ipmasq run {file}"
