"""The configuration file as the gateway needs it (`setup.Configuration`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from socket import gethostname
from typing import Any, TypeAlias

from pydantic import ValidationError

from ipmasq.config import (
    UNREACHED,
    Config,
    ConfigError,
    HostState,
    Loaded,
    about_forward,
    compile,
    consequences,
    helpers,
    load,
    read_host_state,
    resolve,
    restate,
    review,
    saved,
)
from ipmasq.config.host_state import Served, nothing
from ipmasq.config.loading import ON_BY_DEFAULT
from ipmasq.config.model import ControlTable, ForwardTable, HelperTable
from ipmasq.config.tables import forward_name, table_of
from ipmasq.continuity.server import Address
from ipmasq.continuity.settings import HaSettings, StateSettings, read_key
from ipmasq.core.helper import Helper
from ipmasq.core.policy import Forward, HelperUse, Policy, PortRange
from ipmasq.gateway.setup import Setup, SetupError
from ipmasq.gateway.sockets import served
from ipmasq.wire.addresses import to_text

_Origin: TypeAlias = tuple[str, Path | None, str | None]
"""A helper's name, its file unless it is installed, and the class in it unless it is the only one."""

Follower: TypeAlias = Callable[[Config], object]

FIXED = ("control", "state", "ha")
"""Tables that are in force from the start until the end of a process."""

NEEDS_A_RESTART = "has changed: it stays as it was until a restart"


class File:
    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._loaded: Loaded | None = None
        self._restated: tuple[Loaded, Policy, str] | None = None
        """What was restated last, since views ask often, and many forwards take long."""
        self._first: Config | None = None
        """What was first read without a mistake."""
        self._reserved: tuple[PortRange, ...] | None = None
        """`ip_local_reserved_ports` before the gateway added its own."""
        self.followers: list[Follower] = []
        """Called with every configuration that was read without a mistake, before it is applied."""
        self._given: dict[str, tuple[str, frozenset[int] | None]] = {}
        """Helpers that the operator loaded: how to find them, and their ports unless the usual ones."""
        self._code: dict[_Origin, type[Helper]] = {}
        """The code of helpers as it was executed last."""

    def read(self) -> Setup:
        loaded, here = load(self.path), self._here(served)
        report = review(loaded, here, starting=True)
        if report.errors:
            raise SetupError([str(problem) for problem in report.errors])
        setup = _setup(loaded, here)
        self._loaded, self._given, self._code = loaded, {}, {}
        for use in loaded.helpers.values():
            table = loaded.config.helper.get(use.name, HelperTable())
            self._executed(use, table.file, table.helper_class)
        for follow in self.followers:
            follow(loaded.config)
        self._first = self._first or loaded.config
        warnings = [*report.warnings]
        for name in FIXED:
            if getattr(loaded.config, name) != getattr(self._first, name):
                warnings.append(loaded.problem((name,), NEEDS_A_RESTART))
        return replace(setup, warnings=tuple(map(str, warnings)))

    @property
    def control(self) -> ControlTable:
        """What the file said of the control socket when it was first read without a mistake."""
        assert self._first is not None  # as the gateway has read it by then
        return self._first.control

    @property
    def config(self) -> Config:
        """What was read last without a mistake."""
        assert self._loaded is not None  # as the gateway has read it by then
        return self._loaded.config

    def adapt(self) -> Setup:
        return _setup(self._loaded, self._here()) if self._loaded else self.read()

    def _here(self, served: Served = nothing) -> HostState:
        here = read_host_state(served)
        if self._reserved is None:
            self._reserved = here.reserved
        return replace(here, reserved=self._reserved)

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

    def _executed(self, use: HelperUse, file: Path | None, helper_class: str | None) -> None:
        if isinstance(use.make, type) and issubclass(use.make, Helper):
            self._code[use.name, file, helper_class] = use.make

    def _known(self, name: str, table: HelperTable, base: Path) -> HelperUse:
        """Return a helper with the settings of this table, and with the code that is in use if it is the
        same helper. Raises HelperError."""
        code = self._code.get((name, table.file, table.helper_class))
        return helpers.use(code, table) if code else helpers.configured(name, table, base)

    def review_forward(self, forward: Forward, uses: Iterable[HelperUse]) -> Sequence[str]:
        loaded = self._loaded or load(self.path)
        report = consequences(loaded, forward, uses, self._here(served))
        if report.errors:
            raise ValueError("; ".join(map(about_forward, report.errors)))
        return tuple(map(about_forward, report.warnings))

    def policy_text(self, policy: Policy) -> str:
        assert self._loaded is not None  # as the gateway has read it by then
        told = self._restated
        if told is None or told[0] is not self._loaded or told[1] is not policy:
            self._restated = told = self._loaded, policy, restate(self._loaded, policy)
        return told[2]

    # -- what is saved beside the file

    @property
    def saved_path(self) -> str:
        return str(saved.path_of(Path(self.path)))

    def save_forward(self, forward: Forward) -> None:
        if self._has_written("forward", forward.name):
            raise ValueError(f"forward {forward.name} stands in {self.path} already")
        table = table_of(forward)
        if table not in self._saved().forwards:
            self._save(lambda kept: kept.forwards.append(table))

    def forget_forward(self, name: str) -> bool:
        kept = self._saved()
        found = [each for each in kept.forwards if _forward_name(each) == name]
        if not found and self._has_written("forward", name):
            raise ValueError(f"forward {name} stands in {self.path}: take it out there, and reload")
        if found:
            self._save(lambda kept: kept.forwards.remove(found[0]))
        return bool(found)

    def save_helper(self, use: HelperUse, file: str | None, ports: Sequence[int] | None) -> None:
        self._refuse_written_helper(use.name)
        table: dict[str, Any] = {"file": file} if file else {}
        if ports:
            table["ports"] = sorted(ports)
        self._save(lambda kept: kept.helpers.update({use.name: table}))

    def forget_helper(self, name: str) -> None:
        self._refuse_written_helper(name)
        off = {name: {"enabled": False}} if name == ON_BY_DEFAULT else {}

        def forget(kept: saved.Saved) -> None:
            kept.helpers.pop(name, None)
            kept.helpers.update(off)

        self._save(forget)

    def _refuse_written_helper(self, name: str) -> None:
        if self._has_written("helper", name):
            raise ValueError(f"helper {name} stands in {self.path}: change it there, and reload")

    def _has_written(self, kind: str, name: str) -> bool:
        """Return whether the operator's own file has it."""
        loaded = load(self.path, saved.Saved(Path(self.saved_path)), self._known)
        if kind == "helper":
            return name in loaded.config.helper
        return name in map(forward_name, loaded.config.forward.values())

    def _saved(self) -> saved.Saved:
        try:
            return saved.read(Path(self.path))
        except ConfigError as error:
            raise ValueError(f"{self.saved_path}: {error}") from error

    def _save(self, change: Callable[[saved.Saved], None]) -> None:
        """Save a change. Raises ValueError if the configuration would be wrong with it, or cannot be written."""
        path = Path(self.path)
        try:
            draft, text = saved.draft(path, change)
            for problem in load(path, draft, self._known).problems:
                if problem.path == self.saved_path:
                    raise ValueError(f"it cannot be saved: {problem.key}: {problem.message}")
            saved.write(path, text)
        except ConfigError as error:
            raise ValueError(f"{self.saved_path}: {error}") from error
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"{self.saved_path} cannot be written: {reason}") from error

    def _find(self, wanted: str, ports: frozenset[int] | None) -> HelperUse:
        config = self._loaded.config if self._loaded else None
        try:
            use = helpers.find(wanted, config, Path(self.path).parent, fresh=True)
        except helpers.HelperError as error:
            raise ValueError(str(error)) from error
        table = config.helper.get(wanted, HelperTable()) if config else HelperTable()
        file = Path(wanted) if helpers.is_file(wanted) else table.file
        self._executed(use, file, table.helper_class)
        return replace(use, ports=ports) if ports else use


def _forward_name(table: Any) -> str | None:
    """Return the name of a forward like `tables.forward_name`, or None if this is no valid forward."""
    with suppress(ValidationError):
        return forward_name(ForwardTable.model_validate(table))
    return None


def _setup(loaded: Loaded, here: HostState) -> Setup:
    try:
        policy = compile(loaded, here)
    except ConfigError as error:
        raise SetupError(str(error).splitlines()) from error
    sides = resolve(loaded.config.gateway, here)
    if sides.outside is None:
        raise SetupError([str(loaded.problem(("gateway", "public"), UNREACHED))])
    plane, group = loaded.config.gateway.plane, _group(loaded)
    state = StateSettings(**dict(loaded.config.state))
    return Setup(policy, sides.outside, sides.inside, plane=plane, state=state, ha=group)


def _group(loaded: Loaded) -> HaSettings | None:
    """Return the group of this gateway. Raises SetupError if the key cannot be read."""
    table = loaded.config.ha
    if not (table.group and table.store and table.key_file):
        return None
    try:
        key = read_key(table.key_file)
    except ValueError as error:
        raise SetupError([str(loaded.problem(("ha", "key_file"), str(error)))]) from error
    votes = (to_text(table.votes.address), table.votes.port) if table.votes else None
    name, store = table.name or gethostname(), Address.parse(table.store)
    shares = tuple(each.name for each in loaded.config.share.values())
    return HaSettings(table.group, store, key, name, votes, table.wait, table.after, shares)
