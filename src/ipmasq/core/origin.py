"""The origin of a flow: what let it in."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple


class Kind(IntEnum):
    RULE = 0
    """A rule, or the default action."""
    FORWARD = 1
    TRIGGER = 2
    MAPPING = 3
    EXPECTATION = 4


class Origin(NamedTuple):
    kind: Kind
    name: str
    """The name for people."""
    is_hairpin: bool = False
    """Whether it came from inside to a public address of the gateway."""

    def __str__(self) -> str:
        return f"hairpin, {self.name}" if self.is_hairpin else self.name

    @property
    def is_expected(self) -> bool:
        """Whether it was expected; then no helper inspects it."""
        return self.kind is Kind.EXPECTATION


UNKNOWN = Origin(Kind.RULE, "")


@lru_cache(maxsize=1024)
def origin(kind: Kind, name: str, is_hairpin: bool = False) -> Origin:
    """Return an origin; flows of the same origin share one object."""
    return Origin(kind, name, is_hairpin)
