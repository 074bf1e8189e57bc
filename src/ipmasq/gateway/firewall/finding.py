"""What is found in the host's firewall."""

from __future__ import annotations

from typing import Any, NamedTuple


class Finding(NamedTuple):
    rules: str
    """The rule set: `nft inet filter`, `iptables filter`, `iptables-legacy filter`."""
    what: str
    remedy: str
    commands: tuple[str, ...] = ()
    """The remedy as commands, if it is to add rules."""
    is_meant: bool = False
    """Whether a rule about some packets only drops them, so that the operator may have meant it."""
    deletes: tuple[str, ...] = ()
    """Commands that delete the rules instead. Other packets may need them."""
    only_pings: bool = False
    """Whether nothing but pings of inside hosts to the public address is dropped."""
    effect: str = ""
    """What users notice of it, if it is not a rule that drops packets."""

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "remedy": self.remedy,
            "commands": list(self.commands),
            "deletes": list(self.deletes),
        }

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"
