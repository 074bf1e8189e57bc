"""The configuration file, as the gateway needs it (`setup.Configuration`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ipmasq.config import (
    UNREACHED,
    ConfigError,
    Loaded,
    Surroundings,
    compile,
    helpers,
    lacking,
    load,
    read_surroundings,
    resolve,
    review,
)
from ipmasq.config.model import ControlTable
from ipmasq.core.policy import HelperUse
from ipmasq.gateway.host import ports_in_use
from ipmasq.gateway.setup import Setup, SetupError

NEEDS_A_RESTART = "has changed: the control socket stays as it is until a restart"


class File:
    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._loaded: Loaded | None = None
        self._control: ControlTable | None = None
        """What it said of the control socket when the gateway started."""
        self._given: dict[str, tuple[str, frozenset[int] | None]] = {}
        """Helpers that the operator loaded: what they are found by, and ports unless the usual ones."""

    def read(self) -> Setup:
        loaded, here = load(self.path), read_surroundings(ports_in_use())
        report = review(loaded, here)
        if report.errors:
            raise SetupError([str(problem) for problem in report.errors])
        outside = loaded.config.gateway.outside
        if outside and outside not in here.interfaces:
            place = "gateway", "outside"
            raise SetupError([str(loaded.problem(place, lacking(outside, here)))])
        setup = _setup(loaded, here)
        self._loaded, self._given = loaded, {}
        self._control = self._control or loaded.config.control
        warnings = [*report.warnings]
        if loaded.config.control != self._control:
            warnings.append(loaded.problem(("control",), NEEDS_A_RESTART))
        return replace(setup, warnings=tuple(map(str, warnings)))

    def adapt(self) -> Setup:
        return _setup(self._loaded, read_surroundings()) if self._loaded else self.read()

    def helper(self, name: str | None, file: str | None, ports: Sequence[int] | None) -> HelperUse:
        config = self._loaded.config if self._loaded else None
        known = {*helpers.installed_names(), *(config.helper if config else ())}
        if name and name not in known:
            raise KeyError(name)
        chosen = frozenset(ports) if ports else None
        use = self._find(file or name or "", chosen)
        self._given[use.name] = file or use.name, chosen
        return use

    def renewed(self, use: HelperUse) -> HelperUse:
        return self._find(*self._given.get(use.name, (use.name, None)))

    def _find(self, wanted: str, ports: frozenset[int] | None) -> HelperUse:
        config = self._loaded.config if self._loaded else None
        try:
            use = helpers.find(wanted, config, Path(self.path).parent, fresh=True)
        except helpers.HelperError as error:
            raise ValueError(str(error)) from error
        return replace(use, ports=ports) if ports else use


def _setup(loaded: Loaded, here: Surroundings) -> Setup:
    try:
        policy = compile(loaded, here)
    except ConfigError as error:
        raise SetupError(str(error).splitlines()) from error
    sides = resolve(loaded.config.gateway, here)
    if sides.outside is None:
        raise SetupError([str(loaded.problem(("gateway", "public"), UNREACHED))])
    return Setup(policy, sides.outside, sides.inside, plane=loaded.config.gateway.plane)
