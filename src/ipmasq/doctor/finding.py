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
    is_hint: bool = False
    """Whether traffic passes in spite of it, or the operator may have meant it. The exit code is 1 only for other
    findings."""

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
            "hint": self.is_hint,
        }


Subject: TypeAlias = Callable[[Host], Iterator[Finding]]
"""Finds what is wrong in one respect."""
