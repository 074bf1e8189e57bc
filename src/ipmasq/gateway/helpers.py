"""The helpers in use: those of the configuration, and the operator's changes to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ipmasq.core.engine import Engine
from ipmasq.core.policy import HelperUse
from ipmasq.gateway import garbage
from ipmasq.gateway.operated import Operated
from ipmasq.gateway.setup import Configuration


class Helpers:
    def __init__(
        self,
        engine: Engine,
        configuration: Configuration,
        clock: Callable[[], float],
        operated: Operated,
    ) -> None:
        """Begin with the helpers of the engine's policy. `clock` is the engine's."""
        self._operated = operated
        self._engine = engine
        self._configuration = configuration
        self._clock = clock
        self._by_name: dict[str, HelperUse] = {}
        self.reset(engine.policy.helpers)

    @property
    def in_use(self) -> tuple[HelperUse, ...]:
        """All of them; the engine's own policy lacks those that were loaded since it was applied."""
        return tuple(self._by_name.values())

    def reset(self, uses: Iterable[HelperUse]) -> None:
        """Use these helpers with the next policy that is applied, and discard the operator's changes."""
        self._by_name = {use.name: use for use in uses}

    @garbage.collect_all()
    def load(
        self, name: str | None, file: str | None, ports: Sequence[int] | None, save: bool
    ) -> str:
        """See `Gateway.load_helper`."""
        use = self._configuration.helper(name, file, ports)
        before = self._by_name.get(use.name)
        self._load(use)
        if save:
            try:
                self._configuration.save_helper(use, file, ports)
            except ValueError:
                self._load(before) if before else self._unload(use.name)
                raise
        self._operated.helper_loaded(use.name, file, ports)
        return use.name

    @garbage.collect_all()
    def reload(self, name: str) -> None:
        """See `Gateway.reload_helper`."""
        self._load(self._configuration.renewed(self._by_name[name]))

    @garbage.collect_all()
    def unload(self, name: str, save: bool) -> None:
        """See `Gateway.unload_helper`."""
        if name not in self._by_name:
            raise KeyError(name)
        if save:
            self._configuration.forget_helper(name)
        self._unload(name)
        self._operated.helper_unloaded(name)

    def _unload(self, name: str) -> None:
        self._engine.unload_helper(name, self._clock())
        del self._by_name[name]

    def _load(self, use: HelperUse) -> None:
        self._engine.load_helper(use, self._clock())
        self._by_name[use.name] = use
