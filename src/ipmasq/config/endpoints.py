"""Parses where the metrics are served, where the translation log is written, and where members of a group meet.

Each function takes a value from TOML and raises ValueError with a message for the operator.
"""

from __future__ import annotations

from pathlib import Path

from ipmasq.config import values
from ipmasq.continuity import server
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.visible import is_visible, visible


def listening(value: object) -> Endpoint | str:
    """Parse where to listen: "127.0.0.1:9477", or the path of a Unix socket."""
    return _endpoint_or_path(
        value, 'where to listen; write "127.0.0.1:9477" or the path of a socket'
    )


def logger(value: object) -> Endpoint | str:
    """Parse the place of a syslog server: "192.0.2.9:514", or the path of a local logger's socket."""
    return _endpoint_or_path(value, 'a syslog server; write "192.0.2.9:514" or "/dev/log"')


def log_file(value: object) -> str:
    """Parse the absolute path of a file."""
    if not isinstance(value, str) or not value.startswith("/") or not all(map(is_visible, value)):
        raise ValueError(
            f'{visible(values.shown(value))} is not a whole path; write "/var/log/ipmasq/translations.json"'
        )
    return value


def votes(value: object) -> Endpoint:
    """Parse where the other members ask this one: an address of this machine and a UDP port."""
    found = _endpoint_or_path(value, 'where the members ask; write "192.0.2.1:7343"')
    if isinstance(found, str):
        raise ValueError(f"{values.shown(value)} is a path; write an address and a port")
    return found


def store(value: object) -> str:
    """Parse the URL of a Valkey or Redis server."""
    if not isinstance(value, str):
        raise ValueError(f'{values.shown(value)} is not a URL; write "redis://192.0.2.9:6379"')
    try:
        server.Address.parse(value)
    except ValueError as error:  # the URL itself may have a password
        raise ValueError(f"is not the URL of a store: it {error}") from None
    return value


def key_file(value: object) -> Path:
    """Parse the path of a file that holds a key."""
    return _path(value, "/etc/ipmasq/ha.key")


def directory(value: object) -> Path:
    """Parse the path of a directory."""
    return _path(value, "/var/lib/ipmasq")


def _path(value: object, example: str) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f'{values.shown(value)} is not a whole path; write "{example}"')
    return Path(value)


def _endpoint_or_path(value: object, meant: str) -> Endpoint | str:
    """Parse an endpoint, or the path of a Unix socket, which begins with a slash."""
    if isinstance(value, str) and value.startswith("/"):
        return values.socket(value)
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon:
        raise ValueError(f"{values.shown(value)} is not {meant}")
    low, high = values.port_range(port)
    if low != high:
        raise ValueError(f"{values.shown(value)} names several ports")
    return Endpoint(values.address(host), low)
