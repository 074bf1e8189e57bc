"""Connects to the Valkey or Redis server that the members of a group share.

The library is imported with the first connection: that takes 0.2 s, which no packet should wait for at a start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

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
OPTIONS = ("db", "username", "password", "client_name", "health_check_interval", *TLS)
"""What may stand behind the question mark of a URL."""

Client: TypeAlias = Any
"""A `redis.Redis`."""
Connect: TypeAlias = Callable[[float], Client]
"""Returns a client each of whose calls gives up after so many seconds."""


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
        if parts.scheme == "unix":
            if not parts.path:
                raise ValueError("names no socket")
            return cls(url)
        if not parts.netloc.rpartition("@")[2]:
            raise ValueError("names no host")
        if not parts.scheme.endswith("+sentinel"):
            _ = parts.port  # raises ValueError
            return cls(url)
        service = parts.path.strip("/").partition("/")[0]
        if not service:
            raise ValueError("names no primary: redis+sentinel://HOST,HOST/PRIMARY")
        return cls(url, tuple(_host_ports(parts.netloc.rpartition("@")[2])), unquote(service))

    @property
    def shown(self) -> str:
        """The URL without the password."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _check_options(scheme: str, given: set[str]) -> None:
    """Raise ValueError for what the library does not know. An unknown name may be a part of a password."""
    if not given.issubset(OPTIONS):
        raise ValueError(f"has an option that is none of {', '.join(OPTIONS)}")
    if given.intersection(TLS) and not scheme.startswith("rediss"):
        raise ValueError(f"has options of TLS, which needs rediss:// in place of {scheme}://")


def _host_ports(text: str) -> list[tuple[str, int]]:
    found = []
    for each in text.split(","):
        host, colon, port = each.rpartition(":")
        found.append((host, int(port)) if colon else (each, SENTINEL_PORT))
    return found


def connector(address: Address) -> Connect:
    def connect(patience: float) -> Client:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        limits: dict[str, Any] = {
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        if not address.sentinels:
            return redis.Redis.from_url(address.url, **limits)
        return _by_sentinel(address, limits)

    return connect


def _by_sentinel(address: Address, limits: dict[str, Any]) -> Client:
    from redis.sentinel import Sentinel

    parts = urlsplit(address.url.replace(address.url.rpartition("@")[2], "host", 1))
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    options = dict(parse_qsl(urlsplit(address.url).query))
    login = {
        "username": unquote(user) or None,
        "password": unquote(password) or None,
        "ssl": parts.scheme.startswith("rediss"),
        **{key: value for key, value in options.items() if key.startswith("ssl_")},
    }
    sentinel: Any = Sentinel  # it has no types
    asked = sentinel(address.sentinels, **limits)
    return asked.master_for(address.service, **login, **limits)


def told(error: Exception) -> StoreError:
    """Return what an exception of the library, or of the system, means to the members of a group."""
    from redis import exceptions as of

    # Before this, the library shows the command, with whatever records of flows it has.
    said = str(error).rpartition(" of pipeline caused error: ")[2]
    text = said.splitlines()[0] if said else type(error).__name__
    sentence = f"the store: {text}"
    if isinstance(error, of.TimeoutError | TimeoutError):
        return SilentError("the store does not answer in time")
    denied = of.AuthenticationError, of.NoPermissionError, of.AuthenticationWrongNumberOfArgsError
    if isinstance(error, denied) or text.startswith("DENIED"):  # by Redis' protected mode
        return DeniedError(sentence)
    refused = isinstance(error.__cause__ or error.__context__, ConnectionRefusedError)
    if isinstance(error, of.ConnectionError) and not isinstance(error, of.BusyLoadingError):
        return UselessError(sentence) if refused else SilentError(sentence)
    if isinstance(error, OSError):
        return SilentError(sentence)
    return UselessError(sentence)
