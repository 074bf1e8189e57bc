"""The plane's changes to the host: each is a value that can be made, undone and recorded.

Both are idempotent. It is no error to undo a change that was never made, or was undone already: that is why a journal
can be written *before* the change. Nor is it to make one that is there already, as of a gateway whose record is lost.
"""

from __future__ import annotations

import errno
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.policy import PortRange
from ipmasq.planes import bpffs
from ipmasq.planes.tun.settings import FORWARDING, ROOT
from ipmasq.planes.tun.steering import LOCAL_TABLE, RoutingRule
from ipmasq.wire.addresses import to_address, to_network

IPV4_FAMILY = int(socket.AF_INET)
IPV6_FAMILY = int(socket.AF_INET6)
UNREACHABLE_METRIC = 0xFFFF_FFFF
NTF_PROXY = 0x08
PROTOCOL_STATIC = 4  # RTPROT_STATIC: an administrator's

PINS = "ipmasq-"
"""The beginning of the name of a directory of pins; the namespace follows."""

OWN_BPFFS = "bpf-"
"""That of the name of a bpffs of the gateway's own."""

GONE = {errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENXIO}


class Change(ABC):
    @abstractmethod
    def make(self, kernel: IPRoute) -> None:
        """Make the change. Raises OSError or NetlinkError."""

    @abstractmethod
    def undo(self, kernel: IPRoute) -> None:
        """Restore the previous state, if necessary. Raises OSError or NetlinkError."""

    def written(self) -> dict[str, Any]:
        """Return the change as a JSON value."""
        return {"change": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class RuleAdded(Change):
    family: int
    rule: RoutingRule

    def make(self, kernel: IPRoute) -> None:
        _unless({errno.EEXIST}, _add_rule, kernel, self.family, self.rule, PROTOCOL_STATIC)

    def undo(self, kernel: IPRoute) -> None:
        # EINVAL: a rule that the kernel does not understand was never there.
        _unless(GONE | {errno.EINVAL}, _del_rule, kernel, self.family, self.rule, PROTOCOL_STATIC)

    def written(self) -> dict[str, Any]:
        rule = self.rule._replace(to=self.rule.to and str(self.rule.to))  # type: ignore[arg-type]
        return {"change": "RuleAdded", "family": self.family, "rule": rule}


@dataclass(frozen=True, slots=True)
class LocalRuleRemoved(Change):
    """The rule `priority: from all lookup local`, as the kernel makes it at boot. It is removed only if
    another rule for the same table exists by then, or the host would lose its own addresses."""

    family: int
    priority: int
    protocol: int

    def make(self, kernel: IPRoute) -> None:
        rule = RoutingRule(self.priority, LOCAL_TABLE)
        _unless(GONE, _del_rule, kernel, self.family, rule, self.protocol)

    def undo(self, kernel: IPRoute) -> None:
        rule = RoutingRule(self.priority, LOCAL_TABLE)
        _unless({errno.EEXIST}, _add_rule, kernel, self.family, rule, self.protocol)


@dataclass(frozen=True, slots=True)
class UnreachableAdded(Change):
    """The fallback route of a table: if the process dies, packets meant for it are refused instead of leaving
    untranslated."""

    family: int
    table: int

    def make(self, kernel: IPRoute) -> None:
        _unless({errno.EEXIST}, kernel.route, "add", **self._route())

    def undo(self, kernel: IPRoute) -> None:
        _unless(GONE, kernel.route, "del", **self._route())

    def _route(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "dst": "default",
            "type": "unreachable",
            "table": self.table,
            "priority": UNREACHABLE_METRIC,
        }


@dataclass(frozen=True, slots=True)
class ProxyAdded(Change):
    """`ip neighbour add proxy ADDRESS dev INTERFACE`, so that ARP requests for it are answered. The interface
    is given by its ifindex, since the entry disappears with an interface, even if another one gets its name.
    """

    index: int
    address: str

    def make(self, kernel: IPRoute) -> None:
        _unless({errno.EEXIST}, kernel.neigh, "add", **self._neighbour())

    def undo(self, kernel: IPRoute) -> None:
        _unless(GONE, kernel.neigh, "del", **self._neighbour())

    def _neighbour(self) -> dict[str, Any]:
        family = family_of(to_address(self.address))
        return {"dst": self.address, "ifindex": self.index, "family": family, "flags": NTF_PROXY}


@dataclass(frozen=True, slots=True)
class SettingChanged(Change):
    """A file below /proc/sys. `was` and `value` are without the final newline."""

    path: str
    was: str
    value: str

    def make(self, kernel: IPRoute) -> None:
        Path(self.path).write_text(self.value + "\n")

    def undo(self, kernel: IPRoute) -> None:
        # A setting of an interface disappears with the interface.
        _unless(GONE, Path(self.path).write_text, self.was + "\n")

    @property
    def name(self) -> str:
        """The name in sysctl(8)."""
        return ".".join(Path(self.path).relative_to("/proc/sys").parts)

    def __str__(self) -> str:
        return f"{self.name} = {self.value} (was {self.was or 'empty'})"


@dataclass(frozen=True, slots=True)
class BpffsMounted(Change):
    """A bpffs of the gateway's own."""

    path: str

    def make(self, kernel: IPRoute) -> None:
        bpffs.mount(Path(self.path))

    def undo(self, kernel: IPRoute) -> None:
        if bpffs.is_bpffs(Path(self.path)):
            bpffs.unmount(Path(self.path))
        else:  # in another mount namespace than its own, or it is not mounted any more
            with suppress(OSError):
                Path(self.path).rmdir()


@dataclass(frozen=True, slots=True)
class ProgramsPinned(Change):
    """A directory of a bpffs, in which the fast path's programs and maps have names."""

    path: str

    def make(self, kernel: IPRoute) -> None:
        Path(self.path).mkdir(mode=0o700, exist_ok=True)

    def undo(self, kernel: IPRoute) -> None:
        if bpffs.is_bpffs(Path(self.path).parent):
            bpffs.remove_all(Path(self.path))


def read(written: Mapping[str, Any]) -> Change:
    """Return the change that `written()` has returned. Raises KeyError, TypeError or ValueError for other
    values."""
    facts = dict(written)
    kind = facts.pop("change")
    if kind == "RuleAdded":
        # An earlier release wrote no mask.
        priority, table, iif, to, protocol, ports, *unmarked = facts["rule"]
        to, ports = to and to_network(to), ports and PortRange(*ports)
        rule = RoutingRule(priority, table, iif, to, protocol, ports, *unmarked)
        return RuleAdded(facts["family"], rule)
    if kind == "SettingChanged":
        _check_setting(facts["path"])
    if kind == "ProgramsPinned":
        _check_name(facts["path"], PINS)
    if kind == "BpffsMounted":
        _check_name(facts["path"], OWN_BPFFS)
    kinds = (
        LocalRuleRemoved,
        UnreachableAdded,
        ProxyAdded,
        SettingChanged,
        BpffsMounted,
        ProgramsPinned,
    )
    return {each.__name__: each for each in kinds}[kind](**facts)


def lets_pass(change: Change) -> bool:
    """Return whether the kernel forwards packets because of a change."""
    return isinstance(change, SettingChanged) and Path(change.path).name == FORWARDING


def told(found: Sequence[Change]) -> str:
    """Return settings by name, the number of changes to routing, and whether programs were left."""
    settings_set_back = [
        f"{each.name} is {each.was or 'empty'} again"
        for each in found
        if isinstance(each, SettingChanged)
    ]
    kinds = RuleAdded, LocalRuleRemoved, UnreachableAdded, ProxyAdded
    routing = sum(isinstance(each, kinds) for each in found)
    programs = ["programs of the fast path"] * any(
        isinstance(each, ProgramsPinned) for each in found
    )
    return ", ".join(
        [*settings_set_back, f"{routing} routing rules, routes and proxy entries", *programs]
    )


def _check_setting(path: str) -> None:
    """Raise ValueError unless it is a setting of the network. A gateway with fewer rights may have written the
    record, and one with more must not write elsewhere because of it."""
    parts = Path(path).parts
    if parts[: len(ROOT.parts)] != ROOT.parts or ".." in parts:
        raise ValueError(f"{path} is not below {ROOT}")


def _check_name(path: str, beginning: str) -> None:
    """Raise ValueError unless the last name of a path begins so: see `_check_setting`."""
    if not Path(path).name.startswith(beginning) or ".." in Path(path).parts:
        raise ValueError(f"{path} is not named {beginning}...")


def family_of(address: bytes) -> int:
    return IPV4_FAMILY if len(address) == 4 else IPV6_FAMILY


def _add_rule(kernel: IPRoute, family: int, rule: RoutingRule, protocol: int) -> None:
    kernel.rule("add", protocol=protocol, **_rule(family, rule))


def _del_rule(kernel: IPRoute, family: int, rule: RoutingRule, protocol: int) -> None:
    """The kernel deletes the first rule that has what is named here, whatever else that has: without the protocol it may be
    an operator's."""
    kernel.rule("del", protocol=protocol, **_rule(family, rule))


def _rule(family: int, rule: RoutingRule) -> dict[str, Any]:
    said: dict[str, Any] = {"family": family, "priority": rule.priority, "table": rule.table}
    if rule.iif:
        said["iifname"] = rule.iif
    if rule.to:
        said["dst"] = str(rule.to)
    if rule.protocol:
        said["ip_proto"] = rule.protocol
    if rule.unmarked:
        said["fwmark"], said["fwmask"] = 0, rule.unmarked
    if rule.ports:
        said["dport_range"] = f"{rule.ports.low}:{rule.ports.high}"
    return said


def _unless(codes: set[int], do: Any, *arguments: Any, **named: Any) -> None:
    """Do it, ignoring errors with these numbers."""
    try:
        do(*arguments, **named)
    except NetlinkError as error:
        if error.code not in codes:
            raise
    except OSError as error:
        if error.errno not in codes:
            raise
