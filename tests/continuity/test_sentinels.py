"""Real sentinels, and the primary that they name."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.feed import Feed
from ipmasq.continuity.fence import Fence
from ipmasq.continuity.lease import LIFE, Lease
from ipmasq.continuity.sentinels import OUTDATED, Connector
from ipmasq.continuity.server import Address, DeniedError, SilentError, told
from tests.continuity.stores import SERVER, Store, wait_until
from tests.continuity.test_server import free_port


class Watched:
    """A primary and a replica with a password, and two sentinels with another one; a third does not run."""

    def __init__(self, directory: Path) -> None:
        self.servers, self.sentinels = [free_port(), free_port()], [free_port() for _ in range(3)]
        self._directory, self._undo = directory, ExitStack()

    def start(self) -> None:
        for number, port in enumerate(self.servers):
            follows = ("--replicaof", f"127.0.0.1 {self.servers[0]}") if number else ()
            endpoint = (
                "--port",
                str(port),
                "--bind",
                "127.0.0.1",
                "--repl-diskless-sync-delay",
                "0",
            )
            login = ("--requirepass", "pw", "--masterauth", "pw")
            (self._directory / str(port)).mkdir()
            store = Store(self._directory / str(port), *endpoint, *login, *follows)
            store.password = "pw"
            self._undo.callback(store.stop)
            store.start()
        for port in self.sentinels[:2]:
            self._start_sentinel(port)

    def _start_sentinel(self, port: int) -> None:
        assert SERVER is not None
        file = self._directory / f"{port}.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\nrequirepass other\nsentinel sentinel-pass other\n"
            f"sentinel monitor main 127.0.0.1 {self.servers[0]} 2\nsentinel auth-pass main pw\n"
        )
        command = [SERVER, str(file), "--sentinel"]
        process = subprocess.Popen(command, cwd=self._directory, stdout=subprocess.DEVNULL)
        self._undo.callback(process.wait)
        self._undo.callback(process.kill)

    def stop(self) -> None:
        self._undo.close()

    def name(self, server: int, *sentinels: int) -> None:
        """Let sentinels name another server as the primary."""
        for each in sentinels:
            with redis.Redis(port=self.sentinels[each], password="other") as client:
                client.execute_command("SENTINEL REMOVE", "main")
                endpoint = "127.0.0.1", str(self.servers[server])
                client.execute_command("SENTINEL MONITOR", "main", *endpoint, "2")

    def url(self, password: str = "pw", other: str = "other", service: str = "main") -> str:
        endpoints = ",".join(f"127.0.0.1:{each}" for each in self.sentinels)
        return f"redis+sentinel://:{password}@{endpoints}/{service}?sentinel_password={other}"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    if SERVER is None:
        pytest.skip("there is no redis-server")
    made = Watched(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def connect(watched: Watched) -> Iterator[Connector]:
    made = Connector(Address.parse(watched.url()))
    wait_until(lambda: reaches(made))
    yield made
    made.close()


def reaches(connect: Connector) -> bool:
    try:
        return bool(connect(1.0).ping())
    except (redis.RedisError, SilentError):
        return False


def port_of(connect: Connector) -> int:
    wait_until(lambda: reaches(connect))
    return int(connect(1.0).config_get("port")["port"])


def test_the_primary_that_a_majority_names_is_used(watched: Watched, connect: Connector) -> None:
    assert port_of(connect) == watched.servers[0]
    assert connect.age(connect(1.0)) < OUTDATED


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"password": "no"}, DeniedError, "the store: invalid username-password pair"),
        ({"other": "no"}, SilentError, "fewer than 2 sentinels .* invalid username-password pair"),
        ({"service": "no"}, SilentError, "it knows no primary no"),
    ],
)
def test_what_is_wrong_is_told(
    watched: Watched, wrong: dict[str, str], error: type[Exception], message: str
) -> None:
    connect = Connector(Address.parse(watched.url(**wrong)))
    with pytest.raises((redis.RedisError, SilentError)) as caught:
        connect(1.0).ping()
    connect.close()
    assert type(told(caught.value)) is error
    assert re.search(f"{message}[^\n]*$", str(told(caught.value)))


def test_a_name_that_does_not_resolve_is_told() -> None:
    connect = Connector(Address.parse("redis+sentinel://no-such-host.invalid/main"))
    with pytest.raises(SilentError, match=r"no-such-host.invalid:26379: .*"):
        connect(0.5)
    connect.close()


def test_a_former_primary_is_used_no_more(watched: Watched, connect: Connector) -> None:
    """Although it answers, and takes commands."""
    client = connect(1.0)
    client.set("ipmasq:x", "1")
    feed = Feed(connect, Seal(b"a secret of the operator", "g", "records"), "g", "a", 1, str)
    feed.wants_snapshot = False
    feed.step()
    watched.name(1, 0)
    time.sleep(2 * OUTDATED)
    client.set("ipmasq:x", "2")  # nobody names another one by a majority
    feed.step()
    assert not feed.trouble
    with pytest.raises(SilentError, match="fewer than 2 sentinels"):
        connect.age(client)
    with redis.Redis(port=watched.servers[1], password="pw") as replica:
        with pytest.raises(redis.ReadOnlyError) as caught:
            Lease(replica, "g", "a").acquire(0)
        assert isinstance(told(caught.value), SilentError), "others may know the primary"
        assert str(told(caught.value)).endswith("read only replica.")
        replica.replicaof("NO", "ONE")
    watched.name(1, 1)
    wait_until(lambda: port_of(connect) == watched.servers[1])
    with pytest.raises(SilentError, match="another primary"):
        client.set("ipmasq:x", "3")
    wait_until(lambda: feed.step() and feed.wants_snapshot)


def test_a_lease_that_a_new_primary_does_not_know_is_not_given_to_another_member(
    watched: Watched, connect: Connector
) -> None:
    """Until whoever has it has renewed it, or fallen silent; and no generation is used twice."""
    one, other = (Fence(connect, "g", name, time.monotonic, lambda: None) for name in ("a", "b"))
    one.want()
    wait_until(lambda: one.step() and one.generation)
    other.step()
    with redis.Redis(port=watched.servers[1], password="pw") as replica:
        replica.replicaof("NO", "ONE")
        replica.flushall()
    watched.name(1, 0, 1)
    other.want()
    begun = time.monotonic()
    wait_until(lambda: other.step() and other.generation)
    assert time.monotonic() - begun > LIFE
    assert time.monotonic() > one.until
    assert other.generation > one.generation
    wait_until(lambda: one.step() and not one.generation)
