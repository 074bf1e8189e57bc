"""What an operator has changed since the file was read: as plain values, and into the policy of the file again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ipmasq.config.values import protocol_text
from ipmasq.core.operate import overlap
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.policy import Forward, HelperUse, Policy, PortRange, Timeouts
from ipmasq.gateway.setup import Configuration
from ipmasq.wire.addresses import to_text

Set = Callable[[str, object], object]
"""Keeps a value by its name; None: no more."""


class Operated:
    def __init__(self, keep: Set = lambda name, row: None) -> None:
        """`keep` is called whenever a value has changed; by default none is kept."""
        self._keep = keep
        self._forwards: dict[str, Forward | None] = {}
        """None: a forward of the file was removed."""
        self._helpers: dict[str, tuple[str | None, list[int] | None] | None] = {}
        """The file of a helper unless it is installed, and its ports unless they are the usual ones. None: it was
        unloaded."""
        self._timeouts: Timeouts | None = None

    def keep_by(self, keep: Set) -> None:
        """Keep values that change later by this."""
        self._keep = keep

    # -- changes

    def forward_added(self, forward: Forward) -> None:
        self._forwards[forward.name] = forward
        self._keep_forwards()

    def forward_removed(self, name: str) -> None:
        self._forwards[name] = None
        self._keep_forwards()

    def helper_loaded(self, name: str, file: str | None, ports: Sequence[int] | None) -> None:
        self._helpers[name] = file, sorted(ports) if ports else None
        self._keep_helpers()

    def helper_unloaded(self, name: str) -> None:
        self._helpers[name] = None
        self._keep_helpers()

    def timeouts_set(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        values = [getattr(timeouts, name) for name in TIMES]
        self._keep("timeouts", [*values, [list(each) for each in timeouts.udp_ports.items()]])

    def clear(self) -> None:
        """Forget all changes, since the file was read again."""
        self._forwards, self._helpers, self._timeouts = {}, {}, None
        for name in ("forwards", "helpers", "timeouts"):
            self._keep(name, None)

    def _keep_forwards(self) -> None:
        rows = [[name, each and _row(each)] for name, each in self._forwards.items()]
        self._keep("forwards", rows)

    def _keep_helpers(self) -> None:
        self._keep("helpers", [[name, each and list(each)] for name, each in self._helpers.items()])

    # -- back into a policy

    def restore(
        self, policy: Policy, rows: Mapping[str, object], configuration: Configuration
    ) -> tuple[Policy, Sequence[str]]:
        """Return the policy with the changes in these rows, and why some of them could not be made. Raises
        StateError."""
        state, troubles = Fields(dict(rows), "gateway"), list[str]()
        if "forwards" in rows:
            policy = self._with_forwards(policy, state, troubles)
        if "helpers" in rows:
            policy = self._with_helpers(policy, state, troubles, configuration)
        if rows.get("timeouts") is not None:
            policy = replace(policy, timeouts=_timeouts(state.fields("timeouts")))
            self.timeouts_set(policy.timeouts)
        return policy, troubles

    def _with_forwards(self, policy: Policy, state: Fields, troubles: list[str]) -> Policy:
        forwards = {each.name: each for each in policy.forwards}
        for row in () if state.is_none("forwards") else state.rows("forwards"):
            name, values = row.text(0), row.fields_or_none(1)
            if values is None:
                forwards.pop(name, None)
                self.forward_removed(name)
                continue
            made = _forward(name, values)
            others = [
                each for each in forwards.values() if each.name == name or overlap(each, made)
            ]
            if not others:
                forwards[name] = made
                self.forward_added(made)
            elif others != [made]:
                troubles.append(
                    f"forward {name} was added while the gateway ran: now the file has another"
                )
        return replace(policy, forwards=tuple(forwards.values()))

    def _with_helpers(
        self, policy: Policy, state: Fields, troubles: list[str], configuration: Configuration
    ) -> Policy:
        uses: dict[str, HelperUse] = {each.name: each for each in policy.helpers}
        for row in () if state.is_none("helpers") else state.rows("helpers"):
            name, values = row.text(0), row.fields_or_none(1)
            if values is None:
                uses.pop(name, None)
                self.helper_unloaded(name)
                continue
            file = None if values.is_none(0) else values.text(0)
            ports = None if values.is_none(1) else values.integers(1)
            try:
                use = configuration.helper(None if file else name, file, ports)
            except (KeyError, ValueError) as error:
                troubles.append(f"helper {name} was loaded while the gateway ran: {error}")
                continue
            uses[use.name] = use
            self.helper_loaded(use.name, file, ports)
        return replace(policy, helpers=tuple(uses.values()))


def described(rows: Mapping[str, object]) -> Iterator[str]:
    """Yield a sentence for each change in these rows. Raises StateError."""
    state = Fields(dict(rows), "gateway")
    for name in ("forwards", "helpers"):
        for row in state.rows(name) if rows.get(name) is not None else ():
            yield _change(name.removesuffix("s"), row)
    if rows.get("timeouts") is not None:
        yield "idle times were set"


def _change(kind: str, row: Fields) -> str:
    name, values = row.text(0), row.fields_or_none(1)
    if kind == "helper":
        if values is None:
            return f"helper {name} was unloaded"
        origin = "" if values.is_none(0) else f" from {values.text(0)}"
        return f"helper {name} was loaded{origin}"
    if values is None:
        return f"forward {name} was removed"
    made = _forward(name, values)
    public = f"{to_text(made.public)}:" if made.public else ""
    inside = f"{to_text(made.inside)}:{made.inside_ports}"
    return (
        f"forward {name} was added: {protocol_text(made.protocol)} {public}{made.ports} to {inside}"
    )


TIMES = ("tcp_established", "tcp_opening", "tcp_closing", "udp", "icmp", "fragment")


def _timeouts(state: Fields) -> Timeouts:
    times = {name: state.seconds(at) for at, name in enumerate(TIMES)}
    ports = {each.integer(0): each.seconds(1) for each in state.rows(len(TIMES))}
    return Timeouts(**times, udp_ports=ports)


def _row(forward: Forward) -> list[object]:
    low, high = forward.ports
    return [forward.protocol, forward.public, low, high, forward.inside, forward.inside_port]


def _forward(name: str, row: Fields) -> Forward:
    public = None if row.is_none(1) else row.address(1)
    low, high = row.integer(2, 1, 0xFFFF), row.integer(3, 1, 0xFFFF)
    if high < low:
        raise StateError(f"{row.location}: ports {low} to {high}")
    ports = PortRange(low, high)
    return Forward(
        name, row.integer(0, 0, 255), public, ports, row.address(4), row.integer(5, 1, 0xFFFF)
    )
