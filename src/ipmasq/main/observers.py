"""What watches a running gateway if the configuration wants it: its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipmasq.gateway.file import File
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.loop import Loop

if TYPE_CHECKING:
    from ipmasq.config import Config
    from ipmasq.metrics.metrics import Metrics


class ObserverError(Exception):
    """One of them cannot begin. The message is for the operator."""


class Observers:
    def __init__(self, gateway: Gateway, loop: Loop, file: File) -> None:
        self._gateway = gateway
        self._loop = loop
        self._file = file
        self._metrics: Metrics | None = None

    def open(self) -> None:
        """Begin, and follow the configuration whenever it is read again. Raises ObserverError."""
        if (listen := self._file.config.metrics.listen) is not None:
            from ipmasq.metrics.server import MetricsError

            try:
                self._measured().open(listen)
            except MetricsError as error:
                raise ObserverError(str(error)) from error
        self._file.followers.append(self._follow)

    def close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()

    def _follow(self, config: Config) -> None:
        if config.metrics.listen is not None or self._metrics is not None:
            self._measured().follow(config.metrics.listen)

    def _measured(self) -> Metrics:
        """Import the metrics and their library only for who wants them."""
        from ipmasq.metrics.metrics import Metrics

        if self._metrics is None:
            self._metrics = Metrics(self._gateway, self._loop, self._gateway.listeners)
        return self._metrics
