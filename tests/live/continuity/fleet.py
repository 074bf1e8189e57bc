"""Three gateways that share the work: each serves a share, with a public address and inside hosts of its own.

The inside host of `Pair`, with its public address, is of share `two`, which gw2 serves; one of share `one`, which gw1
serves, is added.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.live.continuity.pair import (
    GATEWAY,
    INSIDE,
    PUBLIC,
    STORE,
    VOTES,
    Pair,
    announce,
    standing,
)

NEIGHBOUR = "10.0.0.66"
"""The host of share `one`."""

SHARES = {
    "one": ("10.0.0.7", "203.0.113.51", "10.0.0.64/26"),
    "two": (GATEWAY, PUBLIC, "10.0.0.0/29"),
    "three": ("10.0.0.8", "203.0.113.52", "10.0.0.128/26"),
}
"""The address that its hosts have as their gateway, its public address, and its hosts."""


class Fleet(Pair):
    names = ("gw1", "gw2", "gw3")
    hosts = ("st", "in", "near", "out")

    def up(self) -> None:
        super().up()
        self.cable("near", "eth", "inside", f"{NEIGHBOUR}/24")
        self.ip("near", f"route add default via {SHARES['one'][0]}")

    def configuration(self, name: str, plane: str, settings: dict[str, object]) -> str:
        shares = "".join(
            f"""
            [[share]]
            name = "{share}"
            public = ["{public}"]
            inside = ["{hosts}"]
            """
            for share, (_, public, hosts) in SHARES.items()
        )
        publics = ", ".join(f'"{public}"' for _, public, _ in SHARES.values())
        return f"""\
            [gateway]
            inside = ["gi"]
            outside = "go"
            public = [{publics}]
            plane = "{plane}"
            ports = "20000-40000"
            filtering = "endpoint-independent"
            port_hold = 0
            [[forward]]
            public = "{PUBLIC}"
            port = 2121
            to = "{INSIDE}:21"
            [helper.ftp]
            ports = [21, 2121]
            [control]
            socket = "{self.directory}/{name}.sock"
            [ha]
            group = "fleet"
            store = "redis://{STORE}"
            key_file = "{self.directory}/ha.key"
            name = "{name}"
            votes = "192.168.9.{self.names.index(name) + 11}:{VOTES}"
            {shares}"""

    def shares(self, name: str) -> dict[str, dict[str, Any]]:
        """What a gateway says of each share."""
        return {each["share"]: each for each in self.status(name).get("shares", [])}

    def serves(self, name: str, share: str) -> bool:
        return bool(self.shares(name).get(share, {}).get("role") == "active")

    def has_all(self, name: str, share: str) -> bool:
        """Whether a gateway that does not serve a share has all of its records."""
        found = self.shares(name).get(share, {})
        return bool(found and found["complete"] and found["records"])

    def give(self, name: str, share: str) -> None:
        """What keepalived does: move the addresses, tell the neighbours, call the notify script."""
        gateway, public, _ = SHARES[share]
        self.ip(name, f"addr add {gateway}/24 dev gi")
        self.ip(name, f"addr add {public}/24 dev go")
        done = self.ask(name, "ha", "active", share, "--wait", "5")
        assert done.returncode == 0, done.stderr + self.log(name)
        for device, address in (("gi", gateway), ("go", public)):
            with self.at(name):
                announce(device, address)

    def take(self, name: str, share: str) -> None:
        """What keepalived does on the machine that loses the addresses."""
        gateway, public, _ = SHARES[share]
        self.ip(name, f"addr del {gateway}/24 dev gi")
        self.ip(name, f"addr del {public}/24 dev go")
        assert self.ask(name, "ha", "standby", share).returncode == 0


def fleet(directory: Path) -> AbstractContextManager[Fleet]:
    return standing(Fleet(directory))
