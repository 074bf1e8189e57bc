"""Plain values: how the state of an engine is written down, and read again with every value checked.

A class that has state writes it with `to_state` as a dict of plain values: `None`, booleans, integers, floats, text,
bytes, and lists and dicts of these, which is what MessagePack, or JSON with encoded bytes, can carry. Moments are
written as seconds before or after the present one, since the clock of another process or machine is another
one. `from_state` reads the dict with `Fields`, which names the place of a wrong value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from math import inf
from typing import Any, TypeAlias, TypeVar

from ipmasq.wire.addresses import Address, Endpoint

Plain: TypeAlias = dict[str, Any]
"""Plain values by name."""

LONGEST = 1e12
"""Seconds of a state are within this, in both directions."""

Scalar: TypeAlias = bool | int | float | str | bytes | None

Choice = TypeVar("Choice", bound=IntEnum)
Expected = TypeVar("Expected")

MOST = 1 << 64
"""Integers of a state are smaller than this."""


class StateError(ValueError):
    """A state cannot be restored. The message says what is wrong, and where."""


def left(moment: float, now: float) -> float | None:
    """Return the seconds from `now` until a moment; None if it never comes. See `Fields.moment_or_never`."""
    return None if moment == inf else moment - now


class Fields:
    """The values of one dict (by name) or one list (by position) of a state. Every method raises StateError if
    the value is missing, or is not of its type or within its bounds."""

    __slots__ = ("_values", "location")

    def __init__(self, values: object, location: str) -> None:
        """`location` of the dict or list, for messages."""
        if not isinstance(values, dict | list | tuple):
            raise StateError(f"{location}: expected a dict or list, not {_named(values)}")
        self._values: Any = values
        self.location = location

    @classmethod
    def named(cls, values: object, names: Sequence[str], location: str) -> Fields:
        """Return the values of a list by these names, one for each."""
        if not isinstance(values, list | tuple) or len(values) != len(names):
            raise StateError(f"{location}: expected {len(names)} values, not {_named(values)}")
        return cls(dict(zip(names, values, strict=True)), location)

    def __len__(self) -> int:
        return len(self._values)

    def names(self) -> list[str]:
        """Return the names of a dict."""
        if not isinstance(self._values, dict) or not all(isinstance(n, str) for n in self._values):
            raise StateError(f"{self.location}: expected a dict of names")
        return list(self._values)

    def at(self, key: str | int) -> str:
        """Return the location of a value."""
        return f"{self.location}[{key}]" if isinstance(key, int) else f"{self.location}.{key}"

    def error(self, key: str | int, text: str) -> StateError:
        """Return an error about a value."""
        return StateError(f"{self.at(key)}: {text}")

    def _get(self, key: str | int, kind: type[Expected], name: str) -> Expected:
        value = self.raw(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, f"expected {name}, not {_named(value)}")
        return value

    def raw(self, key: str | int) -> object:
        """Return any value."""
        try:
            return self._values[key]
        except (LookupError, TypeError):
            raise self.error(key, "is missing") from None

    def is_none(self, key: str | int) -> bool:
        return self.raw(key) is None

    # -- single values

    def integer(self, key: str | int, low: int = 0, high: int = MOST - 1) -> int:
        """Return an integer of `low` to `high`."""
        value = self._get(key, int, "an integer")
        if not low <= value <= high:
            raise self.error(key, f"{value} is not within {low} to {high}")
        return value

    def integer_or_none(self, key: str | int, low: int = 0, high: int = MOST - 1) -> int | None:
        return None if self.is_none(key) else self.integer(key, low, high)

    def boolean(self, key: str | int) -> bool:
        return self._get(key, bool, "a boolean")

    def text(self, key: str | int) -> str:
        return self._get(key, str, "text")

    def blob(self, key: str | int) -> bytes:
        return self._get(key, bytes, "bytes")

    def blob_or_none(self, key: str | int) -> bytes | None:
        return None if self.is_none(key) else self.blob(key)

    def scalar(self, key: str | int) -> Scalar:
        """Return a value that is neither a dict nor a list."""
        value = self.raw(key)
        if value is not None and not isinstance(value, bool | int | float | str | bytes):
            raise self.error(key, f"expected one value, not {_named(value)}")
        return value

    def choice(self, key: str | int, kind: type[Choice]) -> Choice:
        """Return a member of an enumeration, which is written as its number."""
        value = self.integer(key)
        try:
            return kind(value)
        except ValueError:
            raise self.error(key, f"{value} is no {kind.__name__}") from None

    def seconds(self, key: str | int) -> float:
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"expected seconds, not {_named(value)}")
        if not -LONGEST <= value <= LONGEST:
            raise self.error(key, f"{value} seconds is too long")
        return float(value)

    def past(self, key: str | int, now: float) -> float:
        """Return the moment that was so many seconds before `now`."""
        return now - self.seconds(key)

    def moment(self, key: str | int, now: float) -> float:
        """Return the moment so many seconds after `now`."""
        return now + self.seconds(key)

    def moment_or_never(self, key: str | int, now: float) -> float:
        """Return the moment so many seconds after `now`; infinite for None. See `left`."""
        return inf if self.is_none(key) else self.moment(key, now)

    def address(self, key: str | int) -> Address:
        value = self.blob(key)
        if len(value) not in (4, 16):
            raise self.error(key, f"an address has not {len(value)} bytes")
        return value

    def endpoint(self, key: str | int) -> Endpoint:
        found = self.fields(key)
        return Endpoint(found.address(0), found.integer(1, 0, 0xFFFF))

    # -- values within values

    def fields(self, key: str | int) -> Fields:
        """Return the values of a dict or list."""
        return Fields(self.raw(key), self.at(key))

    def fields_or_none(self, key: str | int) -> Fields | None:
        return None if self.is_none(key) else self.fields(key)

    def rows(self, key: str | int) -> Iterator[Fields]:
        """Yield the values of each dict or list in a list."""
        found = self.listed(key)
        return map(found.fields, range(len(found)))

    def listed(self, key: str | int) -> Fields:
        """Return the values of a list."""
        if not isinstance(self.raw(key), list | tuple):
            raise self.error(key, f"expected a list, not {_named(self.raw(key))}")
        return self.fields(key)

    def integers(self, key: str | int) -> list[int]:
        """Return a list of integers."""
        found = self.listed(key)
        return [found.integer(position) for position in range(len(found))]


def _named(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.40}"
