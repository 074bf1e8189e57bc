"""`Lab`, the one object that the command line and the demo use: a lab that is up or can be built."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ipmasq.lab import processes, record
from ipmasq.lab.plan import Host, Layout, Plan, draw
from ipmasq.lab.processes import NETNS


class LabError(Exception):
    """Nothing was changed, or everything was undone. The message is for the operator."""


@dataclass(frozen=True)
class HostStatus:
    host: Host
    namespace: str
    exists: bool
    processes: tuple[int, ...]


class Lab:
    """A lab: `with Lab.up(Layout(...)) as lab:`, or `Lab.find(prefix)` for one that was built earlier."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.prefix = plan.prefix

    @classmethod
    def up(cls, layout: Layout) -> Lab:
        """Build a lab. Raises LabError if it is up already or cannot be built; in that case nothing is left
        behind."""
        _require_root()
        from ipmasq.lab import build  # imported when needed: netlink takes 0.1 s to import

        plan = draw(layout)
        _refuse_foreign(plan)
        try:
            record.claim(plan)
        except FileExistsError:
            raise LabError(
                f"the lab {plan.prefix!r} is up already; take it down first, or choose a --prefix"
            ) from None
        lab = cls(plan)
        try:
            build.build(plan)
        except BaseException as error:
            lab.down()
            if isinstance(error, Exception):
                raise LabError(f"the lab cannot be built: {error}") from error
            raise
        return lab

    @classmethod
    def find(cls, prefix: str) -> Lab:
        """Return a lab that was built earlier. Raises LabError if there is no record of it."""
        found = record.load(prefix)
        if found is None:
            known = ", ".join(record.known())
            raise LabError(
                f"there is no lab {prefix!r}" + (f" (there is: {known})" if known else "")
            )
        return cls(found.plan)

    def down(self) -> list[str]:
        """End what runs in the lab, then remove it. Return the names of the namespaces that were removed."""
        _require_root()
        from ipmasq.lab import build

        processes.evict(self.plan.namespaces)
        removed = build.demolish(list(self.plan.namespaces))
        record.forget(self.prefix)
        return removed

    @property
    def directory(self) -> Path:
        """The directory for files that live as long as the lab (gateway configurations, sockets, logs)."""
        return record.directory(self.prefix)

    def host(self, name: str) -> Host:
        """Return a host by its name. Raises LabError."""
        try:
            return self.plan.host(name)
        except KeyError:
            names = ", ".join(host.name for host in self.plan.hosts)
            raise LabError(f"there is no host {name!r} in this lab; there are {names}") from None

    def command(self, host: str, arguments: Sequence[str]) -> list[str]:
        """Return the command line that runs `arguments` on a host; the process keeps its id."""
        return ["nsenter", f"--net={NETNS / self.plan.namespace(self.host(host).name)}", *arguments]

    def run(self, host: str, arguments: Sequence[str], **options: Any) -> Any:
        """`subprocess.run` on a host."""
        return subprocess.run(self.command(host, arguments), **options)

    def spawn(self, host: str, arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """`subprocess.Popen` on a host."""
        return subprocess.Popen(self.command(host, arguments), **options)

    def status(self) -> list[HostStatus]:
        living = processes.living_in(self.plan.namespaces)
        return [
            HostStatus(
                host,
                namespace := self.plan.namespace(host.name),
                (NETNS / namespace).exists(),
                tuple(sorted(living.get(namespace, ()))),
            )
            for host in self.plan.hosts
        ]

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("a lab consists of network namespaces and needs root")


def _refuse_foreign(plan: Plan) -> None:
    """Raise LabError if a namespace of this name exists that no record mentions; it is not ours."""
    if record.load(plan.prefix) is None:
        foreign = [name for name in plan.namespaces if (NETNS / name).exists()]
        if foreign:
            raise LabError(
                f"a namespace {foreign[0]!r} exists and belongs to no lab; choose another --prefix"
            )
