"""What a gateway needs to know to keep its state, alone or as a member of a group."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ipmasq.continuity.authentic import LEAST_KEY
from ipmasq.continuity.server import Address


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where a gateway that is alone keeps its state."""

    keep: bool = True
    grace: float = 30.0
    """Seconds for which established flows are forwarded while no gateway runs."""
    durable: bool = False
    """Whether the state survives a loss of power, too."""
    directory: Path | None = None
    """None: the usual one."""


@dataclass(frozen=True, slots=True)
class HaSettings:
    group: str
    store: Address
    key: bytes
    name: str
    """That of this member."""
    votes: tuple[str, int] | None = None
    """Where the other members ask this one if the store is silent."""
    wait: float = 0.002
    """Seconds for which a packet waits for the store at most."""
    after: float = 1.0
    """How old a flow without a helper must be to be replicated, in seconds."""
    shares: tuple[str, ...] = ()
    """The names of the shares into which the group divides its addresses and hosts; none: it does not."""

    def part(self, share: str) -> str:
        """Return the name under which the store has the lease and the records of a share."""
        return f"{self.group}/{share}" if share else self.group


def read_key(path: Path) -> bytes:
    """Return the key in a file, without white space around it. Raises ValueError with a sentence."""
    try:
        key = path.read_bytes().strip()
        others = path.stat().st_mode & 0o007
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(key) < LEAST_KEY:
        raise ValueError(
            f"{path} has no key of at least {LEAST_KEY} bytes; make one: openssl rand -hex 32"
        )
    if others:
        raise ValueError(f"{path} can be used by every user of this host: chmod 640 {path}")
    return key
