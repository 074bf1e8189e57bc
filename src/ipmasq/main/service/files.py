"""The service's files as text. Pure: nothing is read but the package's own data."""

from __future__ import annotations

from importlib.resources import files

NAME = "ipmasq.service"
WEB = "ipmasq-web.service"


def unit(program: str, configuration: str) -> str:
    """Return the systemd unit, with the absolute paths of the program and of its configuration."""
    text = _data(NAME)
    return text.replace("@IPMASQ@", program).replace("@CONFIG@", configuration)


def web_unit(program: str) -> str:
    """Return the systemd unit of the pages for a browser, with the absolute path of the program."""
    return _data(WEB).replace("@IPMASQ@", program)


def user() -> str:
    """Return the sysusers.d(5) file that makes the gateway's user and group."""
    return _data("sysusers.conf")


def configuration() -> str:
    """Return a first configuration, in which nothing is in force yet."""
    return _data("gateway.toml")


def _data(name: str) -> str:
    return (files("ipmasq.main.service") / name).read_text(encoding="utf-8")
