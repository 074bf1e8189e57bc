"""Carries attacks out, one after the other, each against a gateway that has just been started."""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.hostile import attacks
from tests.hostile.network import Network
from tests.hostile.verdict import NoVerdictError, Verdict


class Attack(NamedTuple):
    name: str
    reference: str
    """The point of the issue, or the row of docs/conformance.md."""
    rows: tuple[str, ...]
    about: str
    """The first sentence of its docstring."""
    settings: dict[str, dict[str, object]]
    guest: bool
    """Whether it needs the second inside network."""
    alone: bool
    """Whether it compares how long pings take, so that nothing else may use the machine meanwhile."""
    planes: tuple[str, ...] | None
    """Where it can be carried out; None: everywhere."""
    function: Callable[[Network], Verdict]


def load() -> dict[str, Attack]:
    """All attacks by name, in the order of their files."""
    found = {}
    for module in pkgutil.iter_modules(attacks.__path__):
        code = importlib.import_module(f"{attacks.__name__}.{module.name}")
        name = module.name.replace("_", "-")
        found[name] = Attack(
            name,
            code.REFERENCE,
            getattr(code, "ROWS", ()),
            (code.__doc__ or "").strip().partition("\n")[0],
            getattr(code, "SETTINGS", {}),
            getattr(code, "GUEST", False),
            getattr(code, "ALONE", False),
            getattr(code, "PLANES", None),
            code.attack,
        )
    return found


def carry_out(network: Network, attack: Attack) -> Verdict:
    """The attack's verdict; it is not held either if the gateway has ended, reports a fault of its own,
    or an inside address was seen outside. Raises NoVerdictError."""
    try:
        with network.serving(attack.settings, attack.guest) as gateway:
            verdict = attack.function(network)
            spoiled = [verdict.sentence] if not verdict.held else []
            if fault := gateway.faults():
                spoiled.append(fault)
            if leaks := network.leaks():
                spoiled.append(f"seen outside: {', '.join(leaks)}")
            return Verdict(False, "; ".join(spoiled)) if spoiled else verdict
    except NoVerdictError:
        raise
    except (OSError, RuntimeError, AssertionError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise NoVerdictError(f"{type(error).__name__}: {error} ({where.name})") from error


def all_of(
    planes: tuple[str, ...], chosen: list[Attack]
) -> Iterator[tuple[Attack, str, Verdict | NoVerdictError]]:
    """Each on each plane."""
    for plane in planes:
        network = Network(plane)
        try:
            for attack in chosen:
                if attack.planes and plane not in attack.planes:
                    continue
                try:
                    yield attack, plane, carry_out(network, attack)
                except NoVerdictError as error:
                    yield attack, plane, error
        finally:
            network.close()
