"""Parses where the metrics are served and where the translation log is written.

Each function takes a value from TOML and raises ValueError with a message for the operator.
"""

from __future__ import annotations

from ipmasq.config import values
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.visible import is_visible, visible


def listening(value: object) -> Endpoint | str:
    """Parse where to listen: "127.0.0.1:9477", or the path of a Unix socket."""
    return _place(value, 'where to listen; write "127.0.0.1:9477" or the path of a socket')


def logger(value: object) -> Endpoint | str:
    """Parse the place of a syslog server: "192.0.2.9:514", or the path of a local logger's socket."""
    return _place(value, 'a syslog server; write "192.0.2.9:514" or "/dev/log"')


def log_file(value: object) -> str:
    """Parse the absolute path of a file."""
    if not isinstance(value, str) or not value.startswith("/") or not all(map(is_visible, value)):
        raise ValueError(
            f'{visible(values.shown(value))} is not a whole path; write "/var/log/ipmasq/translations.json"'
        )
    return value


def _place(value: object, meant: str) -> Endpoint | str:
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
