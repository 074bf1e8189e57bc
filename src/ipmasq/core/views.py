"""Frozen copies of the engine's state, made when they are requested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ipmasq.core.side import Side
from ipmasq.wire.addresses import Address, Endpoint


@dataclass(frozen=True, slots=True)
class Shift:
    """By how much the positions of one direction are shifted (Init-seq, Delta and PDelta of Linux 2.0.36)."""

    init_seq: int
    """The original sequence number of the latest rewrite that changed the length; 0 if there was none."""
    delta: int
    """Bytes added so far (negative: removed)."""
    previous_delta: int


NO_SHIFT = Shift(0, 0, 0)


@dataclass(frozen=True, slots=True)
class FlowView:
    """A flow. Times are on the engine's clock (seconds)."""

    id: int
    protocol: int
    opened_by: Side
    inside: Endpoint
    public: Endpoint
    remote: Endpoint
    remote_real: Endpoint
    """The remote end as it sees itself: another endpoint than `remote` only in a hairpin flow."""
    state: str
    """One of `tcp_states.NAMES`."""
    origin: str
    helper: str | None
    master: int | None
    links: int
    """Data flows of this control flow that are alive."""
    opened: float
    last_seen: float
    expires: float
    packets_out: int
    bytes_out: int
    packets_in: int
    bytes_in: int
    shift_out: Shift
    shift_in: Shift


class Reading(NamedTuple):
    """What a live flow has transferred so far, in bytes of IP packets."""

    flow: int
    host: Address
    """The inside host to which it counts."""
    opened: float
    bytes_out: int
    bytes_in: int
    is_helped: bool
    """Whether a helper inspects it, or expected it."""


@dataclass(frozen=True, slots=True)
class MappingView:
    protocol: int
    inside: Endpoint
    public: Endpoint
    flows: int


@dataclass(frozen=True, slots=True)
class ExpectationView:
    flow: int
    helper: str
    protocol: int
    announced: Endpoint
    public: Endpoint
    peer: bytes
    expires: float


@dataclass(frozen=True, slots=True)
class HelperView:
    name: str
    protocol: int
    ports: tuple[int, ...]
    orthogonal: bool
    on_failure: str
    bound: int
    """Flows bound since it was loaded; `watching` of them are alive now."""
    watching: int
    inspected: int
    """Complete lines shown to it."""
    rewritten: int
    expected: int
    met: int
    kept_alive: int
    failed: int
    refused: dict[str, int]
    """Counted by reason."""


@dataclass(frozen=True, slots=True)
class HelperVerdict:
    """Why a helper inspects, or would inspect, a flow or not."""

    helper: str
    bound: bool
    reason: str


class Passage(NamedTuple):
    """Between which ends the packets of a flow pass, where they are not translated yet, or no longer."""

    protocol: int
    sides: tuple[Side, Side | None]
    """Of the client and of the server; None if the gateway's host itself answers."""
    client: Endpoint
    public: Endpoint
    """What the client sends to."""
    server: Endpoint
    expected: bool
    """Whether a helper expected it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happens to a flow, existing or not."""

    flow: int | None
    """The live flow, if there is one."""
    verdict: str
    """One sentence: the translation and its origin (rule, forward, expectation or trigger), or why it is
    dropped."""
    steps: tuple[str, ...]
    """The steps of the decision, in order."""
    helpers: tuple[HelperVerdict, ...]
    passage: Passage | None = None
    """None if it is not opened, unless it is a ping that the gateway's host answers."""
