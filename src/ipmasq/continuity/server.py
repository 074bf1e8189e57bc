"""Connects to the Valkey or Redis server that the members of a group share.

The library is imported with the first connection: that takes 0.2 s, which no packet should wait for at a start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

SENTINEL = "redis+sentinel"
SCHEMES = ("redis", "rediss", "unix", SENTINEL, "rediss+sentinel")
SENTINEL_PORT = 26379

TLS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_cert_reqs",
    "ssl_check_hostname",
)
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")
OPTIONS = ("db", "username", "password", "client_name", "health_check_interval", *TLS)
"""What may stand behind the question mark of a URL."""

Client: TypeAlias = Any
"""A `redis.Redis`."""
Connect: TypeAlias = Callable[[float], Client]
"""Returns a client each of whose calls gives up after so many seconds. Raises what the library raises, or StoreError."""


class StoreError(Exception):
    """A call has failed. The message is one sentence for the operator."""


class SilentError(StoreError):
    """The store did not answer: it cannot be known whether others reach it."""


class DeniedError(StoreError):
    """The store refuses this member, as with a password that was changed: it may serve others."""


class UselessError(StoreError):
    """The store's machine answered, and said that there is no store, or that it does not do what it was asked:
    so it serves no other member either."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is, as its URL says."""

    url: str
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    """The name of the primary, if Sentinel is asked for it."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"begins with none of {', '.join(f'{s}://' for s in SCHEMES)}")
        _check_options(parts.scheme, {key for key, _ in parse_qsl(parts.query, True)})
        if parts.scheme.endswith("+sentinel"):
            return cls._of_sentinels(url)
        if parts.scheme == "unix":
            if not parts.path:
                raise ValueError("names no socket")
            return cls(url)
        if not parts.netloc.rpartition("@")[2]:
            raise ValueError("names no host")
        _ = parts.port  # raises ValueError
        return cls(url)

    @classmethod
    def _of_sentinels(cls, url: str) -> Address:
        parts = urlsplit(url)
        sentinels = tuple(_host_ports(parts.netloc.rpartition("@")[2]))
        service = parts.path.strip("/").partition("/")[0]
        if not service:
            raise ValueError("names no primary: redis+sentinel://HOST,HOST/PRIMARY")
        return cls(url, sentinels, unquote(service))

    def at(self, host: str, port: int) -> str:
        """Return the URL of a server that the sentinels name."""
        parts = urlsplit(self.url)
        login = parts.netloc.rpartition("@")[0]
        endpoint = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        database = parts.path.strip("/").partition("/")[2]
        options = [each for each in parse_qsl(parts.query) if each[0] not in SENTINEL_LOGIN]
        found = parts._replace(
            scheme=parts.scheme.partition("+")[0],
            netloc=f"{login}@{endpoint}" if login else endpoint,
            path=f"/{database}",
            query=urlencode(options),
        )
        return found.geturl()

    def of_sentinel(self, host: str, port: int) -> str:
        """Return the URL of a sentinel."""
        parts = urlsplit(self.url)
        given = dict(parse_qsl(parts.query))
        login = {name: given.pop(f"sentinel_{name}", "") for name in ("username", "password")}
        options = {key: value for key, value in given.items() if key in TLS}
        options.update({name: value for name, value in login.items() if value})
        scheme = parts.scheme.partition("+")[0]
        endpoint = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"{scheme}://{endpoint}?{urlencode(options)}"

    @property
    def shown(self) -> str:
        """The URL without the password."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _check_options(scheme: str, given: set[str]) -> None:
    """Raise ValueError for what the library does not know. An unknown name may be a part of a password."""
    known = (*OPTIONS, *SENTINEL_LOGIN) if scheme.endswith("+sentinel") else OPTIONS
    if not given.issubset(known):
        raise ValueError(f"has an option that is none of {', '.join(known)}")
    if given.intersection(TLS) and not scheme.startswith("rediss"):
        raise ValueError(f"has options of TLS, which needs rediss:// in place of {scheme}://")


def _host_ports(text: str) -> list[tuple[str, int]]:
    found = []
    for each in text.split(","):
        host, colon, port = each.rpartition(":")
        found.append((host.strip("[]"), int(port)) if colon else (each, SENTINEL_PORT))
    return found


NO_CERTIFICATE = "Does it demand a certificate of its clients (ssl_certfile, ssl_keyfile)?"
"""What follows an error after the handshake of TLS, since a server of TLS 1.3 says it by closing the connection."""


def client_at(url: str, patience: float, check: Callable[[], object] = lambda: None) -> Client:
    """Return a client. A connection of it that was lost is not made anew: that there may be another server now, or one that has forgotten
    something, must not go unnoticed. `check` is called before each command, and raises what speaks against it."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    for option, path in parse_qsl(urlsplit(url).query):
        if option in FILES:
            Path(path).open("rb").close()  # OpenSSL does not say which one cannot be read
    pool: Any = redis.ConnectionPool.from_url(
        url,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    pool.connection_class = _once(pool.connection_class, check)
    return redis.Redis.from_pool(pool)


def _once(kind: Any, check: Callable[[], object]) -> Any:
    from redis.exceptions import AuthenticationError
    from redis.exceptions import ConnectionError as LostError

    class Once(kind):  # type: ignore[misc]
        """A connection that is made once."""

        _was_made = False

        def _connect(self) -> Any:
            if self._was_made:
                raise LostError("the connection was closed")
            made = super()._connect()
            self._was_made = True
            return made

        def connect(self) -> None:
            try:
                super().connect()
            except AuthenticationError:
                raise
            except LostError as error:
                if self._was_made and getattr(self, "certfile", "") is None:
                    raise LostError(f"{error} {NO_CERTIFICATE}") from error
                raise

        def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            check()
            super().send_packed_command(command, check_health)

    return Once


SCRIPT_DENIED = "The user executing the script can't run", "ACL failure in script"
"""What Redis 7.0, and later ones, answer if a script may not do something; not always what."""


def is_usable_after(error: Exception) -> bool:
    """Return whether the client whose call has raised this can be used again: the store has answered, and it was refused or
    failed, which another connection would not change."""
    from redis import exceptions as of

    return isinstance(error, of.ResponseError) and not isinstance(error, of.ReadOnlyError)


def told(error: Exception) -> StoreError:
    """Return what an exception of the library, or of the system, means to the members of a group."""
    from redis import exceptions as of

    if isinstance(error, StoreError):
        return error
    # Before this, the library shows the command, with whatever records of flows it has.
    said = str(error).rpartition(" of pipeline caused error: ")[2]
    text = said.splitlines()[0] if said else type(error).__name__
    sentence = f"the store: {text.partition(' script: ')[0]}"  # without its hash
    if isinstance(error, of.TimeoutError | TimeoutError):
        return SilentError("the store does not answer in time")
    denied = of.AuthenticationError, of.NoPermissionError, of.AuthenticationWrongNumberOfArgsError
    if isinstance(error, denied) or text.startswith("DENIED"):  # by Redis' protected mode
        return DeniedError(sentence)
    if text.startswith(SCRIPT_DENIED):
        return DeniedError("the store: this user has no permissions to run a command of a script")
    if isinstance(error, of.ReadOnlyError):  # it is a replica: others may know the primary
        return SilentError(sentence)
    refused = isinstance(error.__cause__ or error.__context__, ConnectionRefusedError)
    if isinstance(error, of.ConnectionError) and not isinstance(error, of.BusyLoadingError):
        return UselessError(sentence) if refused else SilentError(sentence)
    if isinstance(error, OSError):
        return SilentError(sentence)
    return UselessError(sentence)
