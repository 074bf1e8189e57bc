"""A real gateway that is not started, with a translation log, and what the log says."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipmasq.config.model import TranslationLogTable
from ipmasq.translations.log import TranslationLog
from tests.metrics.running import Running

Json = dict[str, Any]


class Logged(Running):
    def __init__(self, directory: Path, more: str = "") -> None:
        super().__init__(directory, more)
        self.file = directory / "translations.json"
        self.log = TranslationLog(self.gateway.engine, self.loop, self.gateway.listeners)

    def open(self, **settings: Any) -> None:
        self.log.open(TranslationLogTable(file=str(self.file), **settings))

    def until(self, condition: Callable[[], bool], rounds: int = 3000) -> None:
        for _ in range(rounds):
            if condition():
                return
            self.round()
        raise AssertionError(f"not within {rounds} rounds")

    def close(self) -> list[Json]:
        """End the log, and return its records, without those about itself."""
        self.log.close()
        return records(self.file)


def records(file: Path) -> list[Json]:
    """Return the records of a file, without those about the log itself."""
    return [each for each in lines(file) if not each["event"].startswith("log_")]


def lines(file: Path) -> list[Json]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@contextmanager
def receiver(where: Path | None = None) -> Iterator[socket.socket]:
    """A socket for datagrams: a Unix socket, or UDP at a free port of the loopback interface."""
    family = socket.AF_INET if where is None else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        made.settimeout(10)
        made.bind(("127.0.0.1", 0) if where is None else str(where))
        yield made
