"""Two gateways whose store is a primary and a replica that three sentinels watch.

r1 192.168.9.21, r2 192.168.9.22: a redis-server and a sentinel each; a third sentinel at 192.168.9.1
near 10.0.0.3: an inside host that always uses gw2, while the other one uses what has 10.0.0.1
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import redis

from tests.continuity.test_server import block
from tests.live.continuity.pair import PORT, REMOTE, STORE, Pair, eventually, standing
from tests.live.continuity.traffic import Told

SERVERS = {"r1": "192.168.9.21", "r2": "192.168.9.22"}
SENTINELS = {"st": STORE, **SERVERS}
SENTINEL_PORT = 26379
PASSWORD = "a-password-of-yours"
DOWN_AFTER = 500
"""Milliseconds after which a sentinel believes that a server is down."""

ADDRESSES = {"gw1": "192.168.9.11", "gw2": "192.168.9.12", **SENTINELS}


class Watched(Pair):
    hosts = ("st", "in", "near", "out", "r1", "r2")
    url = "redis+sentinel://:{}@{}/office".format(
        PASSWORD, ",".join(f"{each}:{SENTINEL_PORT}" for each in SENTINELS.values())
    )

    def up(self) -> None:
        super().up()
        self.cable("near", "eth", "inside", "10.0.0.3/24")
        self.ip("near", "route add default via 10.0.0.12")
        for host, address in SERVERS.items():
            self.cable(host, "eth", "between", f"{address}/24")

    def start_servers(self, sentinel_password: str = "") -> None:
        """Start all. r1 is the primary."""
        if sentinel_password:
            self.url = f"{Watched.url}?sentinel_password={sentinel_password}"
        for host in SERVERS:
            self.start_server(host)
        for host in SENTINELS:
            self.start_sentinel(host, sentinel_password)

    def start_server(self, host: str, *options: str) -> None:
        if host != "r1":
            options = ("--replicaof", f"{SERVERS['r1']} {PORT}", *options)
        self.start(
            host,
            host,
            *("redis-server", "--port", str(PORT), "--save", "", "--dir", str(self.directory)),
            *("--requirepass", PASSWORD, "--masterauth", PASSWORD),
            *("--repl-diskless-sync-delay", "0"),
            *options,
        )
        eventually(lambda: self.at_server(host, lambda client: client.ping()))

    def start_sentinel(self, host: str, password: str) -> None:
        lines = block("sentinel monitor").replace(f"{STORE} {PORT}", f"{SERVERS['r1']} {PORT}")
        own = f"requirepass {password}\nsentinel sentinel-pass {password}\n" if password else ""
        file = self.directory / f"sentinel-{host}.conf"
        file.write_text(
            f"port {SENTINEL_PORT}\nprotected-mode no\ndir {self.directory}\n{own}{lines}"
            f"sentinel down-after-milliseconds office {DOWN_AFTER}\n"
        )
        self._sentinel_password = password
        self.start(host, f"sentinel-{host}", "redis-server", str(file), "--sentinel")

    def are_watched(self) -> bool:
        """Whether the sentinels know each other and the replica, which has what the primary has."""
        for host in SENTINELS:
            found = self.sentinel(host, lambda client: client.sentinel_master("office"))
            if not found or found["num-slaves"] != 1 or found["num-other-sentinels"] != 2:
                return False
        role = self.at_server("r2", lambda client: client.role())
        return bool(role) and role[3] == b"connected"

    def at_server(self, host: str, use: Callable[[Any], Any]) -> Any:
        """Do something with a client of a server; None if it does not answer."""
        return self._client(host, PORT, PASSWORD, use)

    def sentinel(self, host: str, use: Callable[[Any], Any]) -> Any:
        return self._client(host, SENTINEL_PORT, self._sentinel_password or None, use)

    def _client(self, host: str, port: int, password: str | None, use: Callable[[Any], Any]) -> Any:
        with self.at(host):
            client = redis.Redis("127.0.0.1", port, password=password, socket_timeout=2)
            try:
                return use(client)
            except (redis.ConnectionError, redis.TimeoutError):
                return None
            finally:
                client.close()

    def primary(self, host: str = "st") -> str:
        """Return the server that a sentinel names."""
        question = "SENTINEL GET-MASTER-ADDR-BY-NAME", "office"
        found = self.sentinel(host, lambda client: client.execute_command(*question))
        named = found[0] if found else b""
        return next((each for each, at in SERVERS.items() if named in (at, at.encode())), "")

    def part(self, ones: tuple[str, ...], others: tuple[str, ...]) -> None:
        """Let none of the former reach any of the latter, nor the other way round."""
        for one in ones:
            for other in others:
                self.ip(one, f"route add blackhole {ADDRESSES[other]}/32")
                self.ip(other, f"route add blackhole {ADDRESSES[one]}/32")

    def join(self, ones: tuple[str, ...], others: tuple[str, ...]) -> None:
        for one in ones:
            for other in others:
                self.ip(one, f"route del blackhole {ADDRESSES[other]}/32")
                self.ip(other, f"route del blackhole {ADDRESSES[one]}/32")


class Beats:
    """A datagram every 5 ms from an inside host, and when each came to the outside."""

    EVERY = 0.005

    def __init__(self, pair: Pair, host: str, port: int) -> None:
        with pair.at("out"):
            self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._server.bind((REMOTE, port))
        self._server.settimeout(0.1)
        self.came: list[float] = []
        self._ends = False
        self._threads = Told(pair, "out", self._hear), Told(pair, host, self._send)

    def _hear(self) -> None:
        while not self._ends:
            with suppress(TimeoutError):
                self._server.recv(100)
                self.came.append(time.monotonic())

    def _send(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(self._server.getsockname())
            while not self._ends:
                with suppress(OSError):
                    client.send(b"x")
                time.sleep(self.EVERY)

    def end(self) -> None:
        self._ends = True
        for each in self._threads:
            each.result()
        self._server.close()


def overlap(one: Beats, other: Beats, slot: float = 0.02) -> float:
    """Return for how many seconds datagrams came through both."""
    both = {int(at / slot) for at in one.came} & {int(at / slot) for at in other.came}
    return len(both) * slot


def watched(directory: Path) -> AbstractContextManager[Watched]:
    return standing(Watched(directory))
