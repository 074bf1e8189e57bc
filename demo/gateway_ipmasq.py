"""`ipmasq run` on a host of the lab, driven as an operator would: configuration file, command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from ipaddress import ip_interface
from pathlib import Path

from demo.gateways import FastPath, MakeGateway, Setting
from demo.session import Testbed

PATIENCE = 20.0
"""Seconds that it may take to start, or to stop."""


def make_ipmasq(plane: str) -> MakeGateway:
    return lambda testbed, setting: IpmasqGateway(testbed, setting, plane)


class IpmasqGateway:
    def __init__(self, testbed: Testbed, setting: Setting, plane: str) -> None:
        self._lab = testbed.lab
        self._setting = setting
        self.host = setting.host
        self._plane = plane
        stem = testbed.directory / setting.host
        self._file = stem.with_suffix(".toml")
        self._log = stem.with_suffix(".log")
        self.socket = stem.with_suffix(".sock")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._file.write_text(self._configuration())
        with self._log.open("ab") as log:
            self._process = self._lab.spawn(
                self._setting.host,
                self._command("run", "--log", "text", "-c", str(self._file)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while self._ask("status").returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"ipmasq run did not start: {self._log.read_text().strip()}")
            time.sleep(0.1)

    def unload_helper(self) -> None:
        done = self._ask("helper", "unload", "ftp")
        if done.returncode != 0:
            raise RuntimeError(f"the helper was not unloaded: {done.stderr or done.stdout}")

    def account(self) -> str:
        shown = (self._ask("show", what).stdout for what in ("helpers", "stats"))
        return "\n".join((*shown, self._log.read_text()))

    def fast_path(self) -> FastPath | None:
        rows = json.loads(self._ask("show", "stats", "--json").stdout)
        counts = {row["reason"]: row["packets"] for row in rows}
        if "offloaded" not in counts:
            return None
        by_xdp = 0
        left, passed = (
            sum(packets for reason, packets in counts.items() if reason.startswith(hook))
            for hook in ("tc.", "xdp.")
        )
        if passed:
            # Only what XDP has passed and TC has not left was forwarded by TC.
            by_xdp = counts["offloaded"] - (passed - left)
        return FastPath(counts["offloaded"], by_xdp, left)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def _configuration(self) -> str:
        setting = self._setting
        inside, outside = self._lab.host(setting.host).interfaces
        lines = [
            "[gateway]",
            f'inside = "{ip_interface(inside.address).network}"',
            f'outside = "{outside.name}"',
            f'plane = "{self._plane}"',
            'filtering = "address-and-port-dependent"' if setting.strict else "",
            f"[timeouts]\ntcp_established = {setting.idle}" if setting.idle else "",
            f'[control]\nsocket = "{self.socket}"',
            f"[helper.ftp]\nports = {list(setting.helper_ports)}",
        ]
        for forward in setting.forwards:
            address = self._lab.host(forward.host).ip
            lines += [
                "[[forward]]",
                f"port = {forward.port}",
                f'to = "{address}:{forward.host_port}"',
            ]
        return "\n".join(filter(None, lines)) + "\n"

    def _command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).with_name("ipmasq")), *arguments]

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = self._lab.run(
            self._setting.host,
            self._command(*arguments, "--socket", str(self.socket)),
            capture_output=True,
            text=True,
        )
        return done
