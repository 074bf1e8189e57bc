"""The metrics of one gateway, as the configuration wants them: served or not, and where."""

from __future__ import annotations

import logging

from ipmasq.gateway.drive import Listener
from ipmasq.gateway.loop import Loop
from ipmasq.metrics.families import families
from ipmasq.metrics.server import MetricsError, Server
from ipmasq.metrics.source import Outlets, RunningGateway, Source
from ipmasq.wire.addresses import Endpoint

log = logging.getLogger("ipmasq")


class Metrics:
    def __init__(
        self,
        gateway: RunningGateway,
        loop: Loop,
        listeners: list[Listener],
        outlets: Outlets = tuple,
    ) -> None:
        """`outlets` returns the targets of the translation log."""
        self._source = Source(gateway, outlets)
        self._loop = loop
        self._listeners = listeners
        self._server: Server | None = None
        self._where: Endpoint | str | None = None

    def open(self, where: Endpoint | str) -> None:
        """Measure, and serve at an endpoint or at the path of a Unix socket, in place of where
        they are served already. Raises MetricsError; then nothing has changed."""
        server = Server(self._loop, lambda: families(self._source), self._refused)
        server.open(where)
        if self._server is not None:
            self._server.close()
        else:
            self._source.gateway.latency.begin()
            self._listeners.append(self._source.flows.listen)
        self._server, self._where = server, where

    def restore(self) -> None:
        """Serve a path again that a successor has taken. What is wrong is logged."""
        if self._where is not None and self._server is not None and not self._server.has_its_path:
            try:
                self.open(self._where)
            except MetricsError as error:
                log.error("%s", error)

    def close(self) -> None:
        """May be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = self._where = None
            self._source.gateway.latency.end()
            self._listeners.remove(self._source.flows.listen)

    def follow(self, where: Endpoint | str | None) -> None:
        """Serve there after the configuration has changed; None: nowhere. What is wrong is logged."""
        if where is None:
            self.close()
        elif where != self._where:
            try:
                self.open(where)
            except MetricsError as error:
                log.error("%s", error)

    def _refused(self) -> None:
        self._source.refused_connections += 1
