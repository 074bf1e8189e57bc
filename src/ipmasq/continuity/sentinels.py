"""Which server is the primary, as a majority of its sentinels says.

Each sentinel is asked by a thread of its own, so that one that is silent delays nobody. A former primary that was cut off,
or not told yet, takes commands as before. So a member relies on the answers of a majority only, and on none for longer than on a
lease: of two majorities that name different servers, one sentinel has said both, one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeAlias

from ipmasq.continuity.server import Address, Client, SilentError, client_at, told
from ipmasq.continuity.worker import Worker

Endpoint: TypeAlias = tuple[str, int]

EVERY = 0.05
PATIENCE = 0.3
"""Seconds between two questions, and for which an answer is waited for."""

OUTDATED = 0.6
"""Seconds after which an answer counts no more: less than a lease is valid."""


class Answer(NamedTuple):
    endpoint: Endpoint | None = None
    """The primary; None if this sentinel does not name any."""
    asked: float = -inf
    trouble: str = "has not answered yet"
    """Why it names none."""


class Asker:
    """What one sentinel says."""

    def __init__(self, endpoint: Endpoint, service: str, connect: Callable[[], Client]) -> None:
        self.endpoint, self.answer = endpoint, Answer()
        self._service, self._connect = service, connect
        self._client: Client | None = None
        self._worker = Worker("sentinel", self.step)

    def start(self) -> None:
        self._worker.start()

    def close(self) -> None:
        self._worker.end(0)

    def step(self) -> float:
        """Ask. Return the seconds until the next step. Never raises."""
        asked = time.monotonic()
        try:
            if self._client is None:
                self._client = self._connect()
            self.answer = self._ask(self._client, asked)
        except Exception as error:
            self.answer = Answer(None, asked, str(told(error)).removeprefix("the store: "))
            client, self._client = self._client, None
            if client is not None:
                client.close()
        return EVERY

    def _ask(self, client: Client, asked: float) -> Answer:
        found = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self._service)
        if not found:
            return Answer(None, asked, f"it knows no primary {self._service}")
        host, port = found
        return Answer((host.decode() if isinstance(host, bytes) else host, int(port)), asked, "")


class Sentinels:
    def __init__(self, address: Address) -> None:
        self._service = address.service
        self._askers = [
            Asker(endpoint, address.service, _connector(address.of_sentinel(*endpoint)))
            for endpoint in address.sentinels
        ]
        self._majority = len(self._askers) // 2 + 1
        self._runs = False

    def close(self) -> None:
        for each in self._askers:
            each.close()

    def primary(self, patience: float) -> Endpoint:
        """Return where the primary is. Waits for the first answers. Raises SilentError."""
        if not self._runs:
            self._runs = True
            for each in self._askers:
                each.start()
        end = time.monotonic() + patience
        while (found := self._named()) is None:
            if time.monotonic() >= end:
                raise SilentError(self._trouble())
            time.sleep(0.01)
        return found

    def age(self, endpoint: Endpoint) -> float:
        """Return for how many seconds no majority has been asked that has named this server. Raises SilentError if
        there is none now."""
        now = time.monotonic()
        ages = sorted(now - each.asked for each in self._answers() if each.endpoint == endpoint)
        if len(ages) < self._majority:
            raise SilentError(self._trouble())
        return ages[self._majority - 1]

    def check(self, endpoint: Endpoint) -> None:
        """Raises SilentError if a majority names another server."""
        if self._named() not in (None, endpoint):
            raise SilentError("the store: the sentinels name another primary now")

    def _answers(self) -> list[Answer]:
        oldest = time.monotonic() - OUTDATED
        return [answer for each in self._askers if (answer := each.answer).asked > oldest]

    def _named(self) -> Endpoint | None:
        named = [each.endpoint for each in self._answers() if each.endpoint is not None]
        return next((each for each in named if named.count(each) >= self._majority), None)

    def _trouble(self) -> str:
        said = "; ".join(f"{_shown(each.endpoint)}: {_says(each.answer)}" for each in self._askers)
        return (
            f"fewer than {self._majority} sentinels name the same primary {self._service} ({said})"
        )


def _says(answer: Answer) -> str:
    return answer.trouble if answer.endpoint is None else _shown(answer.endpoint)


def _shown(endpoint: Endpoint) -> str:
    return "{}:{}".format(*endpoint)


def _connector(url: str) -> Callable[[], Client]:
    return lambda: client_at(url, PATIENCE)


class Connector:
    """Connects to the store, wherever it is."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._sentinels = Sentinels(address) if address.sentinels else None

    def __call__(self, patience: float) -> Client:
        """See `Connect`."""
        sentinels = self._sentinels
        if sentinels is None:
            return client_at(self._address.url, patience)
        endpoint = sentinels.primary(patience)
        return client_at(self._address.at(*endpoint), patience, lambda: sentinels.check(endpoint))

    def close(self) -> None:
        if self._sentinels is not None:
            self._sentinels.close()

    @property
    def is_alone(self) -> bool:
        """Whether there is one server, so that what it does not do for this member it does for no other."""
        return self._sentinels is None

    def age(self, client: Client) -> float:
        """Return for how many seconds it is not sure that the server of this client is the store. Raises SilentError if it is
        not at all."""
        if self._sentinels is None:
            return 0.0
        at = client.connection_pool.connection_kwargs
        return self._sentinels.age((at["host"], int(at["port"])))
