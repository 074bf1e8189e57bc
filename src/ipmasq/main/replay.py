"""`ipmasq replay`: a capture through the engine, offline."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipmasq.front import output
from ipmasq.front.asking import CONFIG, Json
from ipmasq.front.exits import Code, give_up

if TYPE_CHECKING:
    from ipmasq.core.policy import Policy
    from ipmasq.planes.pcap import Sides
    from ipmasq.replay.replay import Summary
    from ipmasq.replay.steps import Steps

MAY_BE_REPEATED = "may be repeated."
InsideNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help=f"Packets at this interface are from inside; {MAY_BE_REPEATED}"
    ),
]
OutsideNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help=f"Packets at this interface are from outside; {MAY_BE_REPEATED}"
    ),
]


def replay(
    capture: Annotated[Path, typer.Argument(metavar="IN", help="A pcap or pcapng file.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="The pcapng file to write.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="The page to write, with the conversation as a ladder."),
    ] = None,
    config: Annotated[
        str, typer.Option("-c", "--config", metavar="FILE", help="The configuration.")
    ] = CONFIG,
    elsewhere: Annotated[
        bool,
        typer.Option("--elsewhere", help="FILE is for another machine; do not examine this one."),
    ] = False,
    inside_interface: InsideNames = None,
    outside_interface: OutsideNames = None,
    inside_mac: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MAC", help=f"The hardware address of an inside host; {MAY_BE_REPEATED}"
        ),
    ] = None,
    inside_network: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help=f"A network of inside hosts; {MAY_BE_REPEATED}"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a capture through the engine, offline.

    It needs neither a network nor root. Each packet of OUT has comments that say what was done and why. PAGE is one
    file for a browser that shows what each end sent, what was rewritten, and why something was refused; --json
    prints the same as a list of steps. Passwords are left out of both, but not of OUT.

    The side of a packet is determined by interface, hardware address or network; by default by the inside networks
    of the configuration.

    \b
    Examples:
      ipmasq replay in.pcapng -c gateway.toml -o out.pcapng
      ipmasq replay in.pcapng -c gateway.toml --html page.html
      ipmasq replay in.pcapng --inside-interface eth1 --outside-interface eth0
    """
    sides = _sides(inside_interface, outside_interface, inside_mac, inside_network)
    policy = policy_of(config, elsewhere)
    _check_different(capture, out, html)
    summary, steps = _play(capture, out, policy, sides)
    facts = _facts(summary)
    if html:
        _write_page(html, capture, steps, facts, summary.damage)
    if as_json:
        output.say_json({**facts, **steps.as_json()})
    else:
        for name, value in facts.items():
            output.say(f"{name.replace('_', ' '):<12} {_text(value)}")
    if summary.damage:
        raise give_up(f"{capture} was read up to its damage: {summary.damage}")


def _check_different(capture: Path, out: Path | None, html: Path | None) -> None:
    """Raise typer.Exit if one file would be written over another."""
    names = {"IN": capture, "OUT": out, "PAGE": html}
    for (name, one), (other_name, other) in combinations(names.items(), 2):
        if one and other and _is_same(one, other):
            raise give_up(f"{name} and {other_name} are the same file", Code.USAGE)


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def _play(
    capture: Path, out: Path | None, policy: Policy, sides: Sides | None
) -> tuple[Summary, Steps]:
    """Replay the capture. Raises typer.Exit if it is no capture; then nothing is left behind."""
    from ipmasq.replay.recorder import Recorder
    from ipmasq.replay.replay import replay as play
    from ipmasq.wire.record import CaptureError

    recorder = Recorder()
    try:
        with capture.open("rb") as source, open(out or os.devnull, "wb") as target:
            summary = play(source, target, policy, sides, recorder=recorder)
    except CaptureError as error:
        if out:
            out.unlink(missing_ok=True)
        raise give_up(f"{capture}: {error}") from None
    return summary, recorder.result


def _write_page(
    html: Path, capture: Path, steps: Steps, facts: dict[str, Any], damage: str
) -> None:
    from ipmasq.replay.html import render

    texts = {name.replace("_", " "): _text(value) for name, value in facts.items()}
    html.write_text(render(steps, capture.name, texts, damage), encoding="utf-8")


def policy_of(path: str, elsewhere: bool = False) -> Policy:
    """Return the policy of a configuration file, for this machine or for one of which nothing is known. Raises
    typer.Exit, after its mistakes were printed."""
    from ipmasq.config import ConfigError, HostState, compile, load
    from ipmasq.main.offline import here

    loaded = load(path)
    for problem in loaded.problems:
        output.complain(str(problem))
    if loaded.problems:
        raise typer.Exit(Code.CONFIG)
    this = HostState({}) if elsewhere else here()
    try:
        policy = compile(loaded, this)
    except ConfigError as error:
        raise give_up(str(error), Code.CONFIG) from None
    named = loaded.config.gateway.inside.values()
    if missing := [
        name for name in named if isinstance(name, str) and not this.interfaces.get(name)
    ]:
        _say_missing(path, missing, is_all=not policy.inside)
    return policy


def _say_missing(path: str, interfaces: list[str], is_all: bool) -> None:
    """Say that the networks of these inside interfaces are not known. Raises typer.Exit if no others are."""
    names = ", ".join(interfaces)
    whose = f"{path}: the networks of {names} are not known, since no such interface has an address here"
    advice = 'name networks instead, inside = ["192.168.1.0/24"]'
    if is_all:
        raise give_up(f"{whose}; {advice}", Code.CONFIG)
    output.complain(f"{whose}, so their packets are not translated; {advice}")


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


def _facts(summary: Summary) -> dict[str, Any]:
    from ipmasq.wire.addresses import to_text

    names = ("packets", "flows", "rewrites", "expectations", "met", "refused", "failed", "seconds")
    return {
        **{name: getattr(summary, name) for name in names},
        "public": [to_text(address) for address in summary.public],
        "reasons": {reason.name.lower(): count for reason, count in summary.reasons.items()},
        "earlier": summary.earlier,
        "not_shown": dict(summary.copied),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
