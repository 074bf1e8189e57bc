"""`ipmasq run` in a lab, with a configuration of the attack's choice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipmasq.control.client import Client, UnreachableError
from ipmasq.lab import Lab

HOST = "gw1"
PATIENCE = 20.0
"""Seconds that it may take to start, or to stop."""
FAULTS = ("Traceback", "a part of the gateway failed", "another part of the gateway failed")

Settings = Mapping[str, Mapping[str, object]]
"""Tables of the configuration file."""


class Gateway:
    def __init__(self, lab: Lab, plane: str, settings: Settings) -> None:
        """Starts it. Raises RuntimeError if it does not come up."""
        self.socket = lab.directory / f"{HOST}.sock"
        self.log = lab.directory / f"{HOST}.log"
        file = lab.directory / f"{HOST}.toml"
        base: dict[str, dict[str, object]] = {
            "gateway": {"inside": "10.0.0.0/24", "outside": "outside", "plane": plane},
            "control": {"socket": str(self.socket)},
        }
        for table, values in settings.items():
            base.setdefault(table, {}).update(values)
        file.write_text(_toml(base))
        with self.log.open("wb") as log:
            self.process = lab.spawn(
                HOST,
                [
                    str(Path(sys.executable).with_name("ipmasq")),
                    "run",
                    "--log",
                    "text",
                    "-c",
                    str(file),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.rows("status")
                return
            except (UnreachableError, OSError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"ipmasq run did not start: {self.said()}") from None
                time.sleep(0.05)

    def rows(self, request: str, **arguments: object) -> list[dict[str, Any]]:
        with Client(str(self.socket)) as client:
            return list(client.rows(request, **arguments))

    def ask(self, request: str, **arguments: object) -> dict[str, Any]:
        with Client(str(self.socket)) as client:
            return dict(client.ask(request, **arguments))

    def flow(self, inside: tuple[str, int], remote: tuple[str, int]) -> dict[str, Any] | None:
        """The live flow between these ends."""
        for row in self.rows("flows", host=inside[0], port=inside[1]):
            if (row["remote"]["address"], row["remote"]["port"]) == remote:
                return row
        return None

    def by_fast_path(self) -> int:
        """Packets that the fast path has forwarded since the start, counted once a second;
        0 where there is no fast path."""
        stats = {row["reason"]: row["packets"] for row in self.rows("stats")}
        return int(stats.get("offloaded", 0))

    def memory(self) -> int:
        """Resident bytes of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace").strip()

    def faults(self) -> str:
        """One sentence if it has ended, or reports a fault of its own; else nothing."""
        if self.process.poll() is not None:
            return f"the gateway has ended with exit code {self.process.returncode}"
        found = [fault for fault in FAULTS if fault in self.said()]
        return f"the gateway's log says {found[0]!r}" if found else ""

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE)


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    lines = []
    for name, values in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
