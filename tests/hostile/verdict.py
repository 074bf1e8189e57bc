"""What an attack has shown."""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    held: bool
    """Whether the gateway withstood the attack."""
    sentence: str
    """What was seen."""


class NoVerdictError(Exception):
    """The attack could not be carried out, so it shows nothing: a positive control failed."""


def held_if(condition: bool, sentence: str) -> Verdict:
    return Verdict(condition, sentence)


def control(condition: object, sentence: str) -> None:
    """A positive control: what must be true for the attack to show anything. Raises NoVerdictError."""
    if not condition:
        raise NoVerdictError(sentence)
