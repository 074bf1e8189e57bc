"""Commands that need no gateway: `check`, `config example`, `replay`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipmasq.front import output
from ipmasq.front.asking import CONFIG, Json
from ipmasq.front.exits import Code, give_up
from ipmasq.main.run import Config, File, one_of
from ipmasq.wire.lines import with_commands

if TYPE_CHECKING:
    from ipmasq.config import HostState, Loaded, Problem
    from ipmasq.core.policy import Policy
    from ipmasq.planes.pcap import Sides

configuration = typer.Typer(
    help="Print an example of a configuration.", no_args_is_help=True, rich_markup_mode=None
)


def check(
    file: File = None,
    config: Config = None,
    elsewhere: Annotated[
        bool,
        typer.Option(
            "--elsewhere", help="The file is for another machine; do not examine this one."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Report every mistake in a configuration file.

    Each is shown with its line. It also warns of what is legal but probably wrong.

    Exit code 3 if there are mistakes; warnings alone give 0.

    \b
    Examples:
      ipmasq check gateway.toml
      ipmasq check gateway.toml --elsewhere --json
    """
    from ipmasq.config import load, review

    loaded, here = load(one_of(file, config)), None if elsewhere else _here()
    report = review(loaded, here)
    if report.is_good and here is not None:
        report = replace(report, warnings=(*report.warnings, *_firewall(loaded, here)))
    if as_json:
        kinds = {"error": report.errors, "warning": report.warnings}
        output.say_json_list(
            {"kind": kind, **asdict(each)} for kind, found in kinds.items() for each in found
        )
    else:
        for line in chain.from_iterable(map(with_commands, report.lines())):
            output.say(line)
    if not report.is_good:
        raise typer.Exit(Code.CONFIG)


@configuration.command("example")
def example() -> None:
    """Print an example configuration with every setting.

    \b
    Example:
      ipmasq config example > gateway.toml
    """
    from importlib.resources import files

    sys.stdout.write((files("ipmasq.config") / "example.toml").read_text(encoding="utf-8"))


Names = Annotated[list[str] | None, typer.Option(metavar="NAME", help="May be repeated.")]


def replay(
    capture: Annotated[Path, typer.Argument(metavar="IN", help="A pcap or pcapng file.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="The pcapng file to write.")
    ],
    config: Annotated[
        str, typer.Option("-c", "--config", metavar="FILE", help="The configuration.")
    ] = CONFIG,
    inside_interface: Names = None,
    outside_interface: Names = None,
    inside_mac: Annotated[
        list[str] | None, typer.Option(metavar="MAC", help="May be repeated.")
    ] = None,
    inside_network: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="May be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a capture through the engine, offline.

    It needs neither a network nor root. Each packet of OUT has comments that say what was done and why. The side
    of a packet is determined by interface, hardware address or network; by default by the inside networks of the
    configuration.

    \b
    Examples:
      ipmasq replay in.pcapng -c gateway.toml -o out.pcapng
      ipmasq replay in.pcapng -c gateway.toml -o out.pcapng --inside-interface eth1 --outside-interface eth0
    """
    from ipmasq.replay.replay import replay as play
    from ipmasq.wire.record import CaptureError

    sides = _sides(inside_interface, outside_interface, inside_mac, inside_network)
    policy = _policy(config)
    if out.exists() and capture.exists() and out.samefile(capture):
        raise give_up("IN and OUT are the same file", Code.USAGE)
    try:
        with capture.open("rb") as source, out.open("wb") as target:
            summary = play(source, target, policy, sides)
    except CaptureError as error:
        out.unlink(missing_ok=True)
        raise give_up(f"{capture}: {error}") from None
    facts = _facts(summary)
    if as_json:
        output.say_json(facts)
    else:
        for name, value in facts.items():
            output.say(f"{name.replace('_', ' '):<12} {_text(value)}")
    if summary.damage:
        raise give_up(f"{capture} was read up to its damage: {summary.damage}")


def _firewall(loaded: Loaded, here: HostState) -> Iterator[Problem]:
    """Yield what in the host's firewall obstructs the gateway."""
    from ipmasq.config import Problem
    from ipmasq.gateway.firewall.check import check as check_firewall

    for found in check_firewall(loaded, here):
        yield Problem(str(loaded.path), None, "firewall", str(found))


def _here() -> HostState:
    from ipmasq.config import read_host_state
    from ipmasq.gateway.sockets import served

    return read_host_state(served)


def _policy(path: str) -> Policy:
    from ipmasq.config import ConfigError, compile, load

    loaded = load(path)
    for problem in loaded.problems:
        output.complain(str(problem))
    if loaded.problems:
        raise typer.Exit(Code.CONFIG)
    try:
        return compile(loaded, _here())
    except ConfigError as error:
        raise give_up(str(error), Code.CONFIG) from None


def _sides(
    interfaces: list[str] | None,
    outside: list[str] | None,
    macs: list[str] | None,
    networks: list[str] | None,
) -> Sides | None:
    from ipmasq.config import values
    from ipmasq.planes.pcap import ByInterface, ByMac, ByNetwork

    if sum(map(bool, (interfaces or outside, macs, networks))) > 1:
        raise give_up(
            "name the sides by interface, by MAC or by network, but not by several of them",
            Code.USAGE,
        )
    if bool(interfaces) != bool(outside):
        text = "name both: --inside-interface and --outside-interface"
        raise give_up(text, Code.USAGE)
    try:
        if interfaces and outside:
            return ByInterface(tuple(interfaces), tuple(outside))
        if macs:
            return ByMac(frozenset(map(_mac, macs)))
        return ByNetwork(tuple(map(values.network, networks))) if networks else None
    except ValueError as error:
        raise give_up(str(error), Code.USAGE) from None


def _mac(text: str) -> bytes:
    try:
        address = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        address = b""
    if len(address) != 6:
        raise ValueError(f"{text} is not a hardware address such as 02:00:00:00:00:01")
    return address


def _facts(summary: Any) -> dict[str, Any]:
    from ipmasq.wire.addresses import to_text

    names = ("packets", "flows", "rewrites", "expectations", "met", "refused", "failed", "seconds")
    return {
        **{name: getattr(summary, name) for name in names},
        "public": [to_text(address) for address in summary.public],
        "reasons": {reason.name.lower(): count for reason, count in summary.reasons.items()},
        "not_shown": dict(summary.copied),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
