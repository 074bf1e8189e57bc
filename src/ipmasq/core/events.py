"""Events: what has happened, in the past tense. Every listener (logs, metrics, control) reads these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.wire.addresses import Address, Endpoint


@dataclass(frozen=True, slots=True)
class FlowOpened:
    at: float
    flow: int
    protocol: int
    opened_by: Side
    inside: Endpoint
    public: Endpoint
    remote: Endpoint
    remote_real: Endpoint
    """The remote end as it sees itself: another endpoint than `remote` only in a hairpin flow."""
    origin: str
    """What let it in: `masquerade`, `forward NAME`, `expectation of flow N`, `trigger NAME`, `mapping`, `hairpin`."""
    master: int | None
    """The control flow to which it is linked."""


@dataclass(frozen=True, slots=True)
class FlowOffloadable:
    """Both directions were seen (TCP: the handshake is complete) and no helper inspects the flow."""

    at: float
    flow: int


@dataclass(frozen=True, slots=True)
class FlowNotOffloadable:
    """The flow began to close, or got a helper, so that the engine handles its packets again."""

    at: float
    flow: int


@dataclass(frozen=True, slots=True)
class FlowFinished:
    """The flow's connection is over: its public port is free for other hosts, late packets still find the flow."""

    at: float
    flow: int


@dataclass(frozen=True, slots=True)
class FlowRevived:
    """A connection that was reset continues, with its public port (RFC 7857, 2.2)."""

    at: float
    flow: int


@dataclass(frozen=True, slots=True)
class FlowClosed:
    at: float
    flow: int
    reason: Reason
    packets_out: int
    bytes_out: int
    packets_in: int
    bytes_in: int


@dataclass(frozen=True, slots=True)
class HelperBound:
    at: float
    flow: int
    helper: str
    port: int
    by: str
    """`destination port`, `source port`, `public port` (the port forward's)."""


@dataclass(frozen=True, slots=True)
class HelperReleased:
    at: float
    flow: int
    helper: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class HelperFailed:
    """The helper raised. `line` is the line that it was given, `error` the exception in one line (see `Attachment`)."""

    at: float
    flow: int
    helper: str
    speaker: Speaker
    line: bytes
    error: str


@dataclass(frozen=True, slots=True)
class Expected:
    """An announcement was accepted. `announced` is the endpoint that the speaker named, `public` the one that
    the other end sees."""

    at: float
    flow: int
    helper: str
    speaker: Speaker
    protocol: int
    announced: Endpoint
    public: Endpoint
    peer: bytes
    """The only address that may open it."""
    until: float


@dataclass(frozen=True, slots=True)
class ExpectationEnded:
    """`reason`: MET (by flow `met_by`), IDLE, REPLACED, MASTER_GONE, ..."""

    at: float
    flow: int
    helper: str
    public: Endpoint
    reason: Reason
    met_by: int | None = None


@dataclass(frozen=True, slots=True)
class ExpectationMissed:
    """A packet from `source` to where only `peer` is expected was dropped: the first one for an expectation."""

    at: float
    flow: int
    helper: str
    public: Endpoint
    peer: bytes
    source: Endpoint


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A line was changed. `position` is the number of bytes that the speaker had sent before this line.
    `before` and `after` are the whole line."""

    at: float
    flow: int
    helper: str
    speaker: Speaker
    position: int
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """An announcement or a line was refused. `reason` is a short fixed phrase, since refusals are counted by
    it."""

    at: float
    flow: int
    helper: str
    speaker: Speaker
    reason: str
    line: bytes
    announced: Endpoint | None = None
    """The endpoint that was announced, as the other end would connect to it; None if it is something else that was
    refused."""


@dataclass(frozen=True, slots=True)
class FlowEncrypted:
    """From here on a control flow is ciphertext, so that its helper sees no announcement any more."""

    at: float
    flow: int
    helper: str
    opened_by: Side


@dataclass(frozen=True, slots=True)
class KeptAlive:
    """An idle control flow did not expire, because a data flow of it lives."""

    at: float
    flow: int
    links: int


@dataclass(frozen=True, slots=True)
class ForwardAdded:
    at: float
    name: str


@dataclass(frozen=True, slots=True)
class ForwardRemoved:
    at: float
    name: str


@dataclass(frozen=True, slots=True)
class HelperLoaded:
    """A helper was loaded, or loaded again with newer code."""

    at: float
    helper: str
    reloaded: bool


@dataclass(frozen=True, slots=True)
class HelperUnloaded:
    at: float
    helper: str


@dataclass(frozen=True, slots=True)
class PolicyApplied:
    at: float
    closed: int
    """Flows that the new policy no longer allows."""


@dataclass(frozen=True, slots=True)
class LimitNeared:
    """A limit has been used to 80 or 95 percent: `used` of `most`. Reported at most once a minute for each."""

    at: float
    limit: str
    """`flows`, `flows_per_host` or `ports_per_host` of the configuration's limits, or `ports` for those of a
    public address."""
    host: Address | None
    address: Address | None
    protocol: int
    """0 for all protocols."""
    used: int
    most: int


@dataclass(frozen=True, slots=True)
class LimitReached:
    """New flows of a host were refused. Reported at most once a minute for each host and reason; `refusals`
    counts them since the last report."""

    at: float
    reason: Reason
    """TABLE_FULL, HOST_LIMIT, PORT_LIMIT or NO_PORTS."""
    host: Address
    protocol: int
    most: int
    refusals: int


@dataclass(frozen=True, slots=True)
class PacketFailed:
    """Handling a packet raised, which is an internal error; only this packet is lost. Reported at most once a
    second; `packet_failures` counts them since the last report."""

    at: float
    side: Side
    data: bytes
    """The packet's headers, of which `FAILED_BYTES` at most. What it carries may be a password."""
    error: str
    """The exception in one line, and where it was raised."""
    packet_failures: int


@dataclass(frozen=True, slots=True)
class SettingRestored:
    """A kernel setting, a routing rule or a route that the gateway depends on had been changed; it was
    restored, unless there is `trouble`."""

    at: float
    name: str
    """As in sysctl(8) or ip(8): `net.ipv4.ip_early_demux`, `ip rule 4: from all iif lan lookup 61001`."""
    found: str
    """Empty of a rule or route that was removed."""
    wanted: str
    trouble: str
    """Why it could not be restored."""


@dataclass(frozen=True, slots=True)
class FirewallObstructed:
    """The host's own firewall was found to obstruct the gateway."""

    at: float
    rules: str
    """The tool and the table of the rules."""
    what: str
    """A sentence that says what the rules do to which packets."""
    remedy: str
    """A sentence with the rule to add, as commands of the same tool."""


@dataclass(frozen=True, slots=True)
class FirewallCleared:
    """The host's own firewall no longer obstructs the gateway."""

    at: float


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """The role of this gateway in its group has changed."""

    at: float
    role: str
    """`active`, `fenced`, `waiting` or `standby`."""
    generation: int
    """The highest generation of the group's lease that is known."""
    trouble: str
    """What is wrong with the store; empty if nothing is."""
    share: str = ""
    """The share of the group; empty if the group is not divided."""


@dataclass(frozen=True, slots=True)
class StateRestored:
    """The gateway has continued where an earlier process was."""

    at: float
    flows: int
    age: float
    """Seconds since that process had written last."""


@dataclass(frozen=True, slots=True)
class StateRefused:
    """The state of an earlier process could not be used, so the gateway has begun without one."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The store of the state, or the one that a group shares, cannot be used, and what follows from it."""

    at: float
    trouble: str
    effect: str


@dataclass(frozen=True, slots=True)
class StoreRecovered:
    """The store can be used again."""

    at: float


@dataclass(frozen=True, slots=True)
class RecordsRefused:
    """A standby has refused records that were in the store."""

    at: float
    count: int
    reasons: str
    """All reasons so far: `forged`, `foreign`, `replayed`, `damaged`."""


Event: TypeAlias = (
    FlowOpened
    | FlowOffloadable
    | FlowNotOffloadable
    | FlowFinished
    | FlowRevived
    | FlowClosed
    | HelperBound
    | HelperReleased
    | HelperFailed
    | Expected
    | ExpectationEnded
    | ExpectationMissed
    | Rewritten
    | Refused
    | FlowEncrypted
    | KeptAlive
    | ForwardAdded
    | ForwardRemoved
    | HelperLoaded
    | HelperUnloaded
    | PolicyApplied
    | LimitNeared
    | LimitReached
    | PacketFailed
    | SettingRestored
    | FirewallObstructed
    | FirewallCleared
    | RoleChanged
    | StateRestored
    | StateRefused
    | StoreFailed
    | StoreRecovered
    | RecordsRefused
)
