"""Parses values of the file: durations, ports, addresses, networks, protocols.

Each function takes a value from TOML and raises ValueError with a message for the operator.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from ipmasq.core.policy import ANY_PROTOCOL, PortRange, Ports, port_set
from ipmasq.wire.addresses import Address, Network, to_text, within
from ipmasq.wire.visible import is_visible, visible

PROTOCOLS = {
    "any": ANY_PROTOCOL, "icmp": 1, "ipip": 4, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "sctp": 132,
}  # fmt: skip
"""The protocols with names, as in /etc/protocols, which is not on every machine."""

AUTO: Literal["auto"] = "auto"
"""All public ports that the host does not use itself (see `public_ports`)."""

LARGEST_POOL = 65536
"""The most addresses of one prefix of the pool."""

LONGEST_NAME = 64

MOST_BITS = 600
"""The most bits of a whole number that is shown in a message."""

LONGEST = 36500 * 86400.0
"""The longest duration in seconds; a longer one is a mistake."""

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+(?:\.\d+)?)s)?")
_RANGE = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")  # dev_valid_name() in the kernel's net/core/dev.c


def shown(value: object) -> str:
    """Return the value approximately as it is written in the file, but nothing of a URL, which may have a password:
    messages go to whoever may look at the gateway."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return "this number of hundreds of digits"  # Python may even refuse to print it
    text = f'"{value}"' if isinstance(value, str) else str(value)
    if "://" in text:
        return "a URL"
    return text if len(text) <= 60 else f"{text[:57]}..."


def name(value: object) -> str:
    """Return a name: up to 64 visible characters, with spaces only within. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a name; write it in quotes")
    if not value.strip():
        raise ValueError(f"{shown(value)} is not a name")
    if len(value) > LONGEST_NAME:
        raise ValueError(f"{visible(shown(value))} is longer than {LONGEST_NAME} characters")
    hidden = next((index for index, c in enumerate(value) if not is_visible(c)), None)
    if hidden is not None:
        raise ValueError(
            f'"{visible(value)}" has an invisible character: '
            f"{visible(value[hidden])}, the {_nth(hidden + 1)}"
        )
    return value


def _nth(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number // 10 % 10 != 1 else 0, "th")
    return f"{number}{ending}"


# -- numbers


def number(unit: str, most: int) -> Callable[[object], int]:
    """Return a parser of whole numbers from 1 to `most`, which count something: "flows", "bytes"."""
    meant = f"({unit}, a whole number from 1 to {most:,})"

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{shown(value)} is not a whole number{_hint(value)} {meant}")
        if value < 1:
            raise ValueError(f"{shown(value)} is too small; at least 1 {meant}")
        if value > most:
            raise ValueError(f"{shown(value)} is too large; at most {most:,} {meant}")
        return value

    return read


def _hint(value: object) -> str:
    """Return how to write what was probably meant."""
    if isinstance(value, float) and value.is_integer():
        return ", as it has a point or an exponent; write all of its digits"
    if isinstance(value, str) and value.strip().isdigit():
        return "; write it without quotes"
    return ""


# -- durations


def duration(value: object) -> float:
    """Return seconds, more than 0, from "2h4m", "90s" or a number of seconds."""
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError(f'{shown(value)} is not a duration; write "2h4m", "90s" or seconds')
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{shown(value)} is not a duration: it must be more than 0 seconds")
    if seconds > LONGEST:
        raise ValueError(f"{shown(value)} is too long; at most {duration_text(LONGEST)}")
    return seconds


def duration_or_none(value: object) -> float:
    """Return seconds as `duration` does, or 0."""
    return 0.0 if _seconds(value) == 0 else duration(value)


def _seconds(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        return None
    return sum(
        float(n) * unit for n, unit in zip(match.groups(), _UNITS.values(), strict=True) if n
    )


def duration_text(seconds: float) -> str:
    """Return the shortest text that `duration` parses as the same number."""
    rest, parts = seconds, []
    for unit, size in _UNITS.items():
        count = int(rest // size) if unit != "s" else rest
        if count:
            parts.append(f"{_plain(count)}{unit}")
            rest -= count * size
    return "".join(parts) or "0s"


def _plain(number: float) -> str:
    if number == int(number):
        return str(int(number))
    return f"{number:.9f}".rstrip("0").rstrip(".")


# -- ports


def port_range(value: object) -> PortRange:
    """Parse one port or one range "5000-5010"."""
    if isinstance(value, list):
        raise ValueError('one port or one range is meant here, such as "5000-5010", not a list')
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f'{shown(value)} is not a port; write 21 or "5000-5010"')
    match = _RANGE.fullmatch(str(value).strip())
    if match is None and not isinstance(value, int):
        raise ValueError(f'{shown(value)} is not a port; write 21 or "5000-5010"')
    low = int(match[1]) if match else int(value)
    high = int(match[2]) if match and match[2] else low
    for port in (low, high):
        if not 1 <= port <= 65535:
            raise ValueError(f"there is no port {port}: ports go from 1 to 65535")
    if low > high:
        raise ValueError(f'the range {shown(value)} is reversed; write "{high}-{low}"')
    return PortRange(low, high)


def port_durations(value: object) -> dict[int, float]:
    """Parse seconds by port, such as { 53 = "30s" }."""
    if not isinstance(value, dict):
        raise ValueError(f'{shown(value)} is not a time for each port; write {{ 53 = "30s" }}')
    found: dict[int, float] = {}
    mistakes: list[str] = []
    for key, time in value.items():
        try:
            low, high = port_range(key)
            if low != high:
                raise ValueError(f"{shown(key)} is more than one port; each has a time of its own")
            if low in found:
                raise ValueError(f"port {low} is given twice")
            found[low] = duration(time)
        except ValueError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return found


def ports(value: object) -> Ports:
    """Parse one port or range, or several: a list, or "5000-5010, 6000"."""
    if isinstance(value, str):
        value = value.split(",")
    parts = value if isinstance(value, list) else [value]
    if not parts:
        raise ValueError("there is no port in an empty list")
    return port_set(map(port_range, parts))


def ports_or_auto(value: object) -> Ports | Literal["auto"]:
    """Parse ports, or "auto"."""
    return AUTO if value == AUTO else ports(value)


# -- addresses


def address(value: object) -> Address:
    """Parse one IPv4 address, as 4 bytes."""
    try:
        if not isinstance(value, str):
            raise ValueError
        found = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is not an IPv4 address{_address_hint(value)}") from None
    if found.version != 4:
        raise ValueError(f"{shown(value)} is IPv6, which cannot be masqueraded yet")
    return found.packed


def _address_hint(value: object) -> str:
    """Return what the value seems to be instead."""
    if not isinstance(value, str):
        return ""
    if re.fullmatch(r"[\d.]+/\d+", value):
        return ", but a network"
    return "; names are not looked up" if re.search(r"[a-z]", value, re.IGNORECASE) else ""


def network(value: object) -> Network:
    """Parse an IPv4 prefix or a single address."""
    try:
        if not isinstance(value, str):
            raise ValueError
        found = ipaddress.ip_interface(value).network
    except ValueError:
        raise ValueError(f"{shown(value)} is not an IPv4 address or network") from None
    if found.version != 4:
        raise ValueError(f"{shown(value)} is IPv6, which cannot be masqueraded yet")
    if str(found.network_address) != value.partition("/")[0]:
        raise ValueError(f'{shown(value)} is a host in a network; write "{found}"')
    return Network(found.network_address.packed, found.prefixlen)


@dataclass(frozen=True)
class Pool:
    """Public addresses that are written as one value."""

    networks: tuple[Network, ...]
    text: str

    def __contains__(self, address: Address) -> bool:
        return within(address, self.networks)

    def __str__(self) -> str:
        return self.text


def pool(value: object) -> Pool:
    """Parse an address, a prefix or a range "203.0.113.1-203.0.113.9", of which every address is used."""
    if isinstance(value, str) and "-" in value:
        networks = tuple(_span(value))
        text = "-".join(part.strip() for part in value.split("-"))
    else:
        networks = (network(value),)
        text = to_text(networks[0].address) if networks[0].length == 32 else str(networks[0])
    if sum(map(addresses_of, networks)) > LARGEST_POOL:
        raise ValueError(f"{shown(value)} has more than {LARGEST_POOL:,} addresses")
    return Pool(networks, text)


def _span(value: str) -> Iterator[Network]:
    """Yield the prefixes of a range of addresses."""
    if not all(part.strip() for part in value.split("-", maxsplit=1)):
        raise ValueError(f'{shown(value)} lacks an end; write "203.0.113.1-203.0.113.9"')
    first, last = (
        ipaddress.IPv4Address(address(part.strip())) for part in value.split("-", maxsplit=1)
    )
    if first > last:
        raise ValueError(f'the range {shown(value)} is reversed; write "{last}-{first}"')
    for each in ipaddress.summarize_address_range(first, last):
        yield Network(each.network_address.packed, each.prefixlen)


def addresses_of(net: Network) -> int:
    """Return the number of addresses in a network."""
    return 1 << (8 * len(net.address) - net.length)


def interface(value: object) -> str:
    if not isinstance(value, str) or not _INTERFACE.fullmatch(value):
        raise ValueError(f"{shown(value)} is not the name of an interface")
    return value


def interface_or_network(value: object) -> str | Network:
    """Parse a network if it looks like one (digits, dots, a slash or a colon), else an interface."""
    looks_numeric = isinstance(value, str) and re.fullmatch(r"[\d.]+|.*[/:].*", value)
    return network(value) if looks_numeric else interface(value)


class Target(NamedTuple):
    """The target of a forward; without ports, they are the public ones."""

    address: Address
    ports: PortRange | None

    def __str__(self) -> str:
        return to_text(self.address) + (f":{self.ports}" if self.ports else "")


def target(value: object) -> Target:
    """Parse "10.0.0.2", "10.0.0.2:21" or "10.0.0.2:5000-5010"."""
    if not isinstance(value, str):
        raise ValueError(f'{shown(value)} is not where a server can be; write "10.0.0.2:21"')
    host, colon, ports = value.partition(":")
    if ":" in ports:
        return Target(address(re.sub(r"\[(.*)\].*", r"\1", value)), None)  # this is IPv6
    if colon and not ports:
        raise ValueError(f'{shown(value)} ends without a port; write "{host}:21" or "{host}"')
    return Target(address(host), port_range(ports) if colon else None)


# -- protocols


def protocol(value: object) -> int:
    """Parse an IP protocol, by name or number; 0 is any."""
    if isinstance(value, str) and value.lower() in PROTOCOLS:
        return PROTOCOLS[value.lower()]
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 255:
        return value
    names = ", ".join(f'"{name}"' for name in PROTOCOLS)
    raise ValueError(f"{shown(value)} is not a protocol; write one of {names} or a number to 255")


def transport(value: object) -> int:
    """Parse a protocol with ports that can be masqueraded: TCP or UDP."""
    number = PROTOCOLS.get(value.lower()) if isinstance(value, str) else value
    if number in (6, 17) and isinstance(number, int):
        return number
    raise ValueError(f'{shown(value)} has no place here; write "tcp" or "udp"')


def protocol_text(number: int) -> str:
    """Return the name of a protocol if it has one, else its number."""
    names = {value: name for name, value in PROTOCOLS.items()}
    return names.get(number, str(number))


# -- access


def mode(value: object) -> int:
    """Parse permission bits, such as "0660"."""
    if isinstance(value, str) and re.fullmatch(r"0?[0-7]{3}", value):
        return int(value, 8)
    raise ValueError(f'{shown(value)} is not an access mode; write it as text, such as "0660"')


# -- files

LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket (unix(7))."""


def socket(value: object) -> str:
    """The path of a Unix socket."""
    if not isinstance(value, str) or not value.strip() or not all(map(is_visible, value)):
        raise ValueError(f'{visible(shown(value))} is not a name; write "/run/ipmasq/control.sock"')
    if len(value.encode()) > LONGEST_SOCKET:
        raise ValueError(
            f"{shown(value)} is longer than {LONGEST_SOCKET} bytes, which no socket can be"
        )
    return value


def file(value: object) -> Path:
    if not isinstance(value, str) or not value.strip() or "\0" in value or "://" in value:
        raise ValueError(f'{shown(value)} is not a file; write "my_helper.py"')
    return Path(value)
