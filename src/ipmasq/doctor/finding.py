"""What is wrong, and how it is put right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ipmasq.doctor.host import Host


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    """A word: `routes`, `firewall`, ..."""
    what: str
    """What is wrong, without a full stop."""
    effect: str
    """What users notice of it."""
    fix: str = ""
    """What to do, for people. Empty if `commands` say it."""
    commands: tuple[str, ...] = ()
    """Commands for the shell that put it right, in this order."""
    safe: bool = False
    """Whether `--fix` runs the commands: they take nothing from anybody that works now."""
    is_note: bool = False
    """Whether it is information only, since the operator may have meant it."""

    @property
    def remedy(self) -> str:
        """What to do: a sentence, or the commands."""
        return self.fix or " && ".join(self.commands)

    def as_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "what": self.what,
            "effect": self.effect,
            "fix": self.remedy,
            "commands": list(self.commands),
            "safe": self.safe,
            "note": self.is_note,
        }


Subject: TypeAlias = Callable[[Host], Iterator[Finding]]
"""Finds what is wrong in one respect."""
