"""The configuration file, setting by setting. `docs/configuration.md` explains each.

Values are read into the types of the policy. Lists keep their positions, so that one bad element can be left
out while the others are still checked and located in the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
)

from ipmasq.config import endpoints, values
from ipmasq.continuity.settings import StateSettings
from ipmasq.core import policy
from ipmasq.core.helper import TCP
from ipmasq.core.policy import (
    ANY_PROTOCOL,
    Action,
    Behaviour,
    HelperUse,
    Limits,
    OnFailure,
    PortRange,
    Timeouts,
)
from ipmasq.wire.addresses import Address, Endpoint, Network

Value = TypeVar("Value")

WITH_PORTS = (ANY_PROTOCOL, 6, 17)

LEFT_OUT = object()
"""Marks the position of a bad element."""


def _numbered(value: object) -> object:
    if isinstance(value, list):
        return {index: item for index, item in enumerate(value) if item is not LEFT_OUT}
    raise ValueError("must begin with double brackets, as in [[rule]]: there can be several")


def _one_or_more(value: object) -> object:
    return _numbered(value if isinstance(value, list) else [value])


def _word(kind: type[IntEnum]) -> Callable[[object], IntEnum]:
    words = {member.name.lower().replace("_", "-"): member for member in kind}

    def read(value: object) -> IntEnum:
        if isinstance(value, str) and value in words:
            return words[value]
        choice = ", ".join(f'"{word}"' for word in words)
        raise ValueError(f"{values.shown(value)} is none of {choice}")

    return read


Items: TypeAlias = Annotated[dict[int, Value], BeforeValidator(_one_or_more)]
Tables: TypeAlias = Annotated[dict[int, Value], BeforeValidator(_numbered)]
Duration: TypeAlias = Annotated[float, PlainValidator(values.duration)]
Ports: TypeAlias = Annotated[PortRange, PlainValidator(values.port_range)]
Several: TypeAlias = Annotated[policy.Ports, PlainValidator(values.ports)]
SeveralOrAuto: TypeAlias = Annotated[
    policy.Ports | Literal["auto"], PlainValidator(values.ports_or_auto)
]
Net: TypeAlias = Annotated[Network, PlainValidator(values.network)]
Pool: TypeAlias = Annotated[values.Pool, PlainValidator(values.pool)]
Ip: TypeAlias = Annotated[Address, PlainValidator(values.address)]
Interface: TypeAlias = Annotated[str, PlainValidator(values.interface)]
Inside: TypeAlias = Annotated[str | Network, PlainValidator(values.interface_or_network)]
Protocol: TypeAlias = Annotated[int, PlainValidator(values.protocol)]
Transport: TypeAlias = Annotated[int, PlainValidator(values.transport)]
Name: TypeAlias = Annotated[str, PlainValidator(values.name)]
Flows: TypeAlias = Annotated[int, PlainValidator(values.number("flows", 100_000_000))]
PortCount: TypeAlias = Annotated[int, PlainValidator(values.number("ports", 65_535))]
Datagrams: TypeAlias = Annotated[int, PlainValidator(values.number("datagrams", 65_535))]
Expectations: TypeAlias = Annotated[int, PlainValidator(values.number("expectations", 65_535))]
Bytes: TypeAlias = Annotated[int, PlainValidator(values.number("bytes", 1 << 40))]
Window: TypeAlias = Annotated[int, PlainValidator(values.number("bytes", 1 << 30))]
"""A TCP window is no larger (RFC 7323, 2.3)."""
Lines: TypeAlias = Annotated[int, PlainValidator(values.number("lines per second", 100_000_000))]
Packets: TypeAlias = Annotated[
    int, PlainValidator(values.number("packets per second", 100_000_000))
]
Listening: TypeAlias = Annotated[Endpoint | str, PlainValidator(endpoints.listening)]
Logger: TypeAlias = Annotated[Endpoint | str, PlainValidator(endpoints.logger)]
LogFile: TypeAlias = Annotated[str, PlainValidator(endpoints.log_file)]
Votes: TypeAlias = Annotated[Endpoint, PlainValidator(endpoints.votes)]
StoreUrl: TypeAlias = Annotated[str, PlainValidator(endpoints.store)]
Directory: TypeAlias = Annotated[Path, PlainValidator(endpoints.directory)]
KeyFile: TypeAlias = Annotated[Path, PlainValidator(endpoints.key_file)]
Switch: TypeAlias = Annotated[bool, Field(strict=True)]
Does: TypeAlias = Annotated[Action, PlainValidator(_word(Action))]
Behaves: TypeAlias = Annotated[Behaviour, PlainValidator(_word(Behaviour))]
Fails: TypeAlias = Annotated[OnFailure, PlainValidator(_word(OnFailure))]


_HELPER: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(HelperUse)}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class GatewayTable(_Table):
    inside: Items[Inside] = {}
    outside: Interface | None = None
    public: Items[Pool] = {}
    ports: SeveralOrAuto = values.AUTO
    data_ports: Several | None = None
    mapping: Behaves = Behaviour.ENDPOINT_INDEPENDENT
    filtering: Behaves = Behaviour.ADDRESS_DEPENDENT
    port_hold: Annotated[float, PlainValidator(values.duration_or_none)] = policy.PORT_HOLD
    default_action: Does = Action.MASQUERADE
    icmp_errors: Switch = True
    resets: Switch = True
    plane: Literal["auto", "tun", "ebpf", "ebpf-tc", "ebpf-xdp", "ebpf-xdp-generic"] = "auto"


class TimeoutsTable(_Table):
    tcp_established: Duration = Timeouts().tcp_established
    tcp_opening: Duration = Timeouts().tcp_opening
    tcp_closing: Duration = Timeouts().tcp_closing
    udp: Duration = Timeouts().udp
    icmp: Duration = Timeouts().icmp
    fragment: Duration = Timeouts().fragment
    udp_ports: Annotated[dict[int, float], PlainValidator(values.port_durations)] = {}


class LimitsTable(_Table):
    flows: Flows | None = None
    flows_per_host: Flows = Limits().flows_per_host
    ports_per_host: PortCount | None = None
    fragmented_datagrams: Datagrams = Limits().fragmented_datagrams
    stream_bytes: Window = Limits().stream_bytes
    stream_memory: Bytes | None = None
    stream_memory_per_host: Bytes | None = None
    lines: Lines = Limits().lines
    lines_per_host: Lines = Limits().lines_per_host
    tracked_pps_per_host: Packets = Limits().tracked_pps_per_host
    untracked_pps_per_host: Packets = Limits().untracked_pps_per_host
    untracked_pps_per_side: Packets = Limits().untracked_pps_per_side
    icmp_errors: Packets = Limits().icmp_errors
    icmp_errors_per_host: Packets = Limits().icmp_errors_per_host
    resets: Packets = Limits().resets
    resets_per_host: Packets = Limits().resets_per_host


class ControlTable(_Table):
    socket: Annotated[str, PlainValidator(values.socket)] | None = None
    mode: Annotated[int, PlainValidator(values.mode)] = 0o600
    group: Name | None = None
    view_group: Name | None = None
    view_socket: Annotated[str, PlainValidator(values.socket)] | None = None


class LogTable(_Table):
    format: Literal["auto", "text", "json"] = "auto"


class MetricsTable(_Table):
    listen: Listening | None = None


class TranslationLogTable(_Table):
    file: LogFile | None = None
    syslog: Logger | None = None
    facility: Literal[
        "user", "daemon", "auth", "authpriv",
        "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ] = "local0"  # fmt: skip
    destinations: Switch = False

    @property
    def is_wanted(self) -> bool:
        return self.file is not None or self.syslog is not None


class StateTable(_Table):
    keep: Switch = True
    grace: Duration = StateSettings().grace
    durable: Switch = False
    directory: Directory | None = None


class HaTable(_Table):
    group: Name | None = None
    store: StoreUrl | None = None
    key_file: KeyFile | None = None
    name: Name | None = None
    votes: Votes | None = None
    wait: Duration = 0.002
    after: Duration = 1.0

    @property
    def is_wanted(self) -> bool:
        return self.group is not None


class ShareTable(_Table):
    name: Name
    public: Items[Pool]
    inside: Items[Net]


class RuleTable(_Table):
    action: Does
    source: Items[Net] = Field(default={}, alias="from")
    to: Items[Net] = {}
    protocol: Protocol = ANY_PROTOCOL
    ports: Items[Ports] = {}
    from_ports: Items[Ports] = {}

    @field_validator("ports", "from_ports")
    @classmethod
    def _has_ports(cls, ports: dict[int, PortRange], known: ValidationInfo) -> dict[int, PortRange]:
        """This check is here so that it is reported whatever else is wrong with the rule."""
        protocol = known.data.get("protocol", ANY_PROTOCOL)
        if ports and protocol not in WITH_PORTS:
            raise ValueError(f"{values.protocol_text(protocol)} has no ports")
        return ports


class ForwardTable(_Table):
    name: Name | None = None
    protocol: Transport = TCP
    public: Ip | None = None
    port: Ports
    to: Annotated[values.Target, PlainValidator(values.target)]


class TriggerTable(_Table):
    name: Name | None = None
    protocol: Transport = TCP
    ports: Ports
    opens: Ports
    opens_protocol: Transport | None = None
    life: Duration = 600.0


class HelperTable(_Table):
    enabled: Switch = True
    ports: Items[Ports] | None = None
    source_ports: Items[Ports] = {}
    protocol: Transport | None = None
    on_failure: Fails = OnFailure.PASS
    expectations_per_flow: Expectations = _HELPER["expectations_per_flow"]
    expectations_per_host: Expectations = _HELPER["expectations_per_host"]
    expectation_life: Duration = _HELPER["expectation_life"]
    file: Annotated[Path, PlainValidator(values.file)] | None = None
    helper_class: Name | None = Field(default=None, alias="class")


class Config(_Table):
    """The whole file."""

    gateway: GatewayTable = GatewayTable()
    timeouts: TimeoutsTable = TimeoutsTable()
    limits: LimitsTable = LimitsTable()
    control: ControlTable = ControlTable()
    log: LogTable = LogTable()
    metrics: MetricsTable = MetricsTable()
    translation_log: TranslationLogTable = TranslationLogTable()
    state: StateTable = StateTable()
    ha: HaTable = HaTable()
    rule: Tables[RuleTable] = {}
    forward: Tables[ForwardTable] = {}
    trigger: Tables[TriggerTable] = {}
    share: Tables[ShareTable] = {}
    helper: dict[str, HelperTable] = {}


def table_at(path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Return the model of the table at `path`, or None if no table belongs there."""
    match path:
        case ():
            return Config
        case (str(section),) if section in _SINGLE:
            return _SECTIONS[section]
        case ("rule" | "forward" | "trigger" | "share" | "helper") as section, _:
            return _SECTIONS[section]
    return None


_SINGLE = (
    "gateway",
    "timeouts",
    "limits",
    "control",
    "log",
    "metrics",
    "translation_log",
    "state",
    "ha",
)
_SECTIONS: dict[str, type[BaseModel]] = {
    "gateway": GatewayTable,
    "timeouts": TimeoutsTable,
    "limits": LimitsTable,
    "control": ControlTable,
    "log": LogTable,
    "metrics": MetricsTable,
    "translation_log": TranslationLogTable,
    "state": StateTable,
    "ha": HaTable,
    "rule": RuleTable,
    "forward": ForwardTable,
    "trigger": TriggerTable,
    "share": ShareTable,
    "helper": HelperTable,
}
