"""What observes a running gateway if the configuration wants it: the metrics and the translation log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipmasq.gateway.file import File
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.loop import Loop

if TYPE_CHECKING:
    from ipmasq.config import Config
    from ipmasq.metrics.metrics import Metrics
    from ipmasq.translations.log import TranslationLog
    from ipmasq.translations.outlet import Outlet


class ObserverError(Exception):
    """One of them cannot begin. The message is for the operator."""


class Observers:
    """They, and the libraries that they need, are imported only if they are wanted."""

    def __init__(self, gateway: Gateway, loop: Loop, file: File) -> None:
        self._gateway = gateway
        self._loop = loop
        self._file = file
        self._metrics: Metrics | None = None
        self._log: TranslationLog | None = None

    def open(self) -> None:
        """Begin, and follow the configuration whenever it is read again. Raises ObserverError."""
        config = self._file.config
        if config.translation_log.is_wanted:
            from ipmasq.translations.log import TranslationLogError

            try:
                self._recorded().open(config.translation_log)
            except TranslationLogError as error:
                raise ObserverError(str(error)) from error
        if config.metrics.listen is not None:
            from ipmasq.metrics.server import MetricsError

            try:
                self._measured().open(config.metrics.listen)
            except MetricsError as error:
                raise ObserverError(str(error)) from error
        self._file.followers.append(self._follow)
        self._gateway.reloads.callbacks.append(self._reopen)

    def close(self) -> None:
        """End. May be called whether they have begun or not."""
        if self._metrics is not None:
            self._metrics.close()
        if self._log is not None:
            self._log.close()

    def leave(self) -> None:
        """Leave the translation log to a successor."""
        if self._log is not None:
            self._log.leave()

    def finish(self) -> None:
        """Wait a little until is written what was not at `leave`."""
        if self._log is not None:
            self._log.finish()

    def take_back(self) -> None:
        """Go on after `leave`. Harmless without it."""
        if self._log is not None and not self._log.outlets:
            self._log.begin_anew()
        if self._metrics is not None:
            self._metrics.restore()

    def _follow(self, config: Config) -> None:
        if config.metrics.listen is not None or self._metrics is not None:
            self._measured().follow(config.metrics.listen)
        if config.translation_log.is_wanted or self._log is not None:
            self._recorded().follow(config.translation_log)

    def _reopen(self) -> None:
        if self._log is not None:
            self._log.reopen()

    def _measured(self) -> Metrics:
        from ipmasq.metrics.metrics import Metrics

        if self._metrics is None:
            self._metrics = Metrics(
                self._gateway, self._loop, self._gateway.listeners, self._outlets
            )
        return self._metrics

    def _recorded(self) -> TranslationLog:
        from ipmasq.translations.log import TranslationLog

        if self._log is None:
            self._log = TranslationLog(self._gateway.engine, self._loop, self._gateway.listeners)
        return self._log

    def _outlets(self) -> Sequence[Outlet]:
        return self._log.outlets if self._log is not None else ()
