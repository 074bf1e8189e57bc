"""An engine from the records of another one (see `records`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeAlias

from ipmasq.core import mapping_state, operate
from ipmasq.core.changes import Kind
from ipmasq.core.compact import Compact, pack_flow, pack_mapping
from ipmasq.core.datagram_inspector import DatagramInspector
from ipmasq.core.flow import Flow
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.indexed import Indexed
from ipmasq.core.inspector import Inspector
from ipmasq.core.invariants import check
from ipmasq.core.mapping import Mapping
from ipmasq.core.offloading import Marks
from ipmasq.core.operate import Basis
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.ports import PortPool
from ipmasq.core.reasons import Reason
from ipmasq.core.records import FLOW_NAMES, VERSION
from ipmasq.core.registered import Registered
from ipmasq.core.side import Side
from ipmasq.core.tcp_inspector import COST, TcpInspector
from ipmasq.core.tcp_states import State
from ipmasq.core.timed import Timed
from ipmasq.core.timers import SOON
from ipmasq.core.unrestored import Unrestored, pool_of
from ipmasq.wire import ipv4


class Kept(NamedTuple):
    """A record that was kept, and when it was written."""

    kind: int
    key: int | str
    row: object
    moment: float
    """When it was written, on the clock of the engine that is made. The ages in it are relative to that."""


Rows: TypeAlias = dict[int, list[Kept]]
"""Records by their kinds, each in the order of their keys."""

Later: TypeAlias = Compact | Indexed
"""Plain flows and mappings that are restored later. The values of rows that are indexed were checked before."""


def compacted(kept: Iterable[Kept]) -> tuple[list[Kept], Compact]:
    """Return these records with those of plain flows and of mappings as rows."""
    others, compact = list[Kept](), Compact()
    for each in kept:
        number, row = each.key if isinstance(each.key, int) else 0, None
        if each.kind == Kind.FLOW and (row := pack_flow(each.row)) is not None:
            compact.flows[number], compact.moments[number] = row, each.moment
        elif each.kind == Kind.MAPPING and (row := pack_mapping(each.row)) is not None:
            compact.mappings[number] = row
        if row is None:
            others.append(each)
    return others, compact


def restore(
    manager: FlowManager,
    kept: Iterable[Kept],
    is_lagging: bool = False,
    compact: Later | None = None,
) -> None:
    """Fill a new engine, whose policy is set, with the last record of each thing. `is_lagging`: records may lag
    behind packets as `records` describes, since the engine has written them while it worked. What is in `compact`
    is restored later (see `Unrestored`), unless the policy has changed. Raises StateError; then the engine is of no
    use."""
    rows = by_kind(kept)
    state = _rest(rows)
    latest = latest_of(rows, compact) if is_lagging else None
    _restore_helpers(manager, state)
    _restore_mappings(manager, rows, compact, latest)
    enter(manager, rows, latest)
    _restore_rest(manager, state, rows[Kind.REST][0].moment)
    drop_unused(manager)
    try:
        check(manager)
    except AssertionError as error:
        raise StateError(f"state: its values contradict each other ({error})") from error
    _resume(manager, Basis(*map(state.fields("policy").text, range(3))))


def enter(manager: FlowManager, rows: Rows, latest: float | None) -> list[Flow]:
    """Enter the things of a state whose mappings are there. `latest`: the latest moment of which there is a record, if
    records may lag. Return the flows. Raises StateError."""
    flows = _restore_flows(manager, rows, latest is not None)
    if latest is not None:
        for flow in flows:
            _catch_up(manager, flow, latest)
    for each in rows[Kind.EXPECTATION]:
        fields = _fields(each)
        made = manager.expectations.restore(int(each.key), fields, each.moment)
        _set_timer(manager, made, fields, each.moment)
    for each in rows[Kind.TRIGGER]:
        fields = _fields(each)
        trigger = manager.admission.restore(str(each.key), fields, each.moment)
        if trigger is not None:
            _set_timer(manager, trigger, fields, each.moment)
    for each in rows[Kind.DATAGRAM]:
        fields = _fields(each)
        datagram = manager.reassembly.restore(int(each.key), fields, each.moment)
        _set_timer(manager, datagram, fields, each.moment)
    return flows


def restore_some(manager: FlowManager, count: int) -> list[int]:
    """Restore some of the flows that are not restored yet; see `Engine.restore_some`."""
    table, unrestored = manager.table, manager.table.unrestored
    if unrestored is None:
        return []
    if not unrestored.some(count):
        unrestored.all()
        manager.timers.cancel(unrestored)
        table.unrestored = table.mappings.unrestored = None
    return unrestored.fresh()


def latest_of(rows: Rows, compact: Later | None = None) -> float:
    """Return the latest moment of which there is a record of a flow."""
    latest = max((each.moment for each in rows[Kind.FLOW]), default=0.0)
    if isinstance(compact, Indexed):
        return max(latest, compact.flows.latest)
    return latest if compact is None else max(chain((latest,), compact.moments.values()))


def drop_unused(manager: FlowManager) -> None:
    """Drop mappings whose flow was too young to have a record."""
    mappings = manager.table.mappings
    if mappings.unrestored is not None:
        for public in mappings.unrestored.unused():
            mappings.unrestored.at(public)
    for mapping in mappings.live():
        mappings.drop_unused(mapping)


def by_kind(kept: Iterable[Kept]) -> Rows:
    rows: Rows = {kind: [] for kind in Kind}
    for each in kept:
        kind, key = each.kind, each.key
        known = isinstance(kind, int) and kind in rows
        if not (known and isinstance(key, str if kind in NAMED else int)):
            raise StateError(f"state: there is no kind of record {kind!s:.40} with key {key!r:.40}")
        rows[kind].append(each)
    for each_kind in rows.values():
        each_kind.sort(key=lambda each: each.key)
    return rows


NAMED = Kind.TRIGGER, Kind.GATEWAY
"""Kinds whose keys are names."""


def _rest(rows: Rows) -> Fields:
    if len(rows[Kind.REST]) != 1:
        raise StateError("state: it has no record with its version")
    state = Fields(rows[Kind.REST][0].row, "state")
    if state.integer("version") != VERSION:
        raise state.error("version", f"expected {VERSION}, not {state.raw('version')}")
    return state


def _fields(each: Kept, names: tuple[str, ...] | None = None) -> Fields:
    """Return the values of a row; `names` of its values if it is a list."""
    location = f"{Kind(each.kind).name.lower()} {each.key}"
    return Fields.named(each.row, names, location) if names else Fields(each.row, location)


def _set_timer(
    manager: FlowManager, thing: Timed, state: Fields, moment: float, key: str = "due"
) -> None:
    if not state.is_none(key):
        unit = SOON if key == "inspector_due" else 1
        manager.timers.set(thing, state.moment(key, moment), unit)


# -- mappings and flows


def _restore_mappings(
    manager: FlowManager, rows: Rows, compact: Later | None, latest: float | None
) -> None:
    mappings = manager.table.mappings
    for each in rows[Kind.POOL]:
        mapping_state.restore_pool(mappings, int(each.key), _fields(each))
    for each in rows[Kind.MAPPING]:
        mapping_state.restore_mapping(mappings, int(each.key), _fields(each))
    if compact is not None:
        restore_later(manager, _indexed(compact, mappings.numbered), latest)
    mapping_state.claim_ports(mappings)


def restore_later(manager: FlowManager, indexed: Indexed, latest: float | None) -> None:
    """Enter flows and mappings that are restored later (see `Unrestored`); `latest` as for `enter`. Raises StateError."""
    table, mappings = manager.table, manager.table.mappings
    unrestored = Unrestored(indexed, mappings.numbered)
    if any(map(unrestored.meets, table.flows.values())):
        raise StateError("state: two flows have the same addresses and ports")
    mapping_state.wait_for(mappings, unrestored)
    if table.unrestored is not None:
        unrestored.go_on_after(table.unrestored)
        manager.timers.cancel(table.unrestored)
    table.unrestored, manager.opened = unrestored, max(manager.opened, unrestored.last)
    table.hosts.change_all(unrestored.hosts)
    unrestored.begin(
        partial(_enter, manager, latest),
        partial(mapping_state.restore_waiting, mappings),
        _earliest(manager, unrestored, latest),
    )
    unrestored.set_timer(manager.timers)


def _indexed(compact: Later, pools: list[PortPool[Mapping]]) -> Indexed:
    if isinstance(compact, Indexed):
        return compact
    compact.check_rows()
    return Indexed.of(compact, {pool.number: pool_of(pool) for pool in pools})


def _enter(
    manager: FlowManager,
    latest: float | None,
    flow: Flow,
    moment: float,
    due: float,
    marks: Marks | None,
) -> None:
    """Make a flow live that was not restored until now."""
    manager.table.restore_plain(flow)
    if marks is not None:
        manager.offloading.inherited[flow.id] = marks
    if latest is not None and _catch_up(manager, flow, latest):
        return
    manager.timers.set(flow, moment + due)
    _pick_up(manager, flow)


def _earliest(
    manager: FlowManager, unrestored: Unrestored, latest: float | None
) -> dict[int, float]:
    """Return before which moments none of these flows is due, by protocol."""
    if latest is None:
        return unrestored.earliest()
    times = manager.policy.timeouts
    idle = {
        ipv4.TCP: min(times.tcp_established, times.tcp_opening),
        ipv4.UDP: min((times.udp, *times.udp_ports.values())),
        ipv4.ICMP: times.icmp,
    }
    return {each: latest + idle[each] for each in unrestored.protocols}


def _restore_flows(manager: FlowManager, rows: Rows, is_lagging: bool) -> list[Flow]:
    table = manager.table
    flows: list[Flow] = []
    made = [(each, _fields(each, FLOW_NAMES)) for each in rows[Kind.FLOW]]
    for each, state in made:
        flow = table.restore(int(each.key), state, each.moment)
        if not state.is_none("syn"):
            manager.reopenings.restore(flow.id, state.fields("syn"))
        if not state.is_none("marks"):
            marks = state.fields("marks")
            manager.offloading.inherited[flow.id] = marks.integer(0), marks.integer(1)
        _set_timer(manager, flow, state, each.moment)
        manager.opened = max(manager.opened, flow.id)
        flows.append(flow)
    table.link_all(flows)
    table.restore_over(dict(_ranks(made, "over")))
    manager.unconfirmed.restore(dict(_ranks(made, "unconfirmed")), table.flows)
    manager.unconfirmed_inspected.restore(dict(_ranks(made, "unconfirmed_inspected")), table.flows)
    for each, state in made:
        if not state.is_none("inspector"):
            # While nobody ran, nobody could send the rest of a line that is withheld, nor acknowledge anything.
            moment = manager.now if is_lagging else each.moment
            inspector = _restore_inspector(manager, table.flows[int(each.key)], state, moment)
            if is_lagging:
                inspector.doubt()
    for flow in flows:
        _pick_up(manager, flow)
    return flows


def _pick_up(manager: FlowManager, flow: Flow) -> None:
    """Let the positions of a flow be picked up if they were to be in the earlier process."""
    established = flow.protocol == ipv4.TCP and flow.state is State.ESTABLISHED
    if established and not flow.offloadable and flow.inspector is None:
        manager.pickups.add(flow.id)


def _catch_up(manager: FlowManager, flow: Flow, latest: float) -> bool:
    """Let a flow continue whose record lags, and return whether it does. Nobody knows when it was last in use, so it may
    have been at the latest moment of which there is a record."""
    is_tcp = flow.protocol == ipv4.TCP
    if flow.inspector is not None or (is_tcp and flow.state is not State.ESTABLISHED):
        return False
    flow.last_seen = max(flow.last_seen, latest)
    if is_tcp:
        flow.offloadable = False
        manager.pickups.add(flow.id)
        if flow.opened_by is Side.INSIDE:
            # The handshake ended with a segment that has no record.
            flow.original.acknowledged = flow.reply.end
    manager.timers.set(flow, manager.due(flow))
    return True


def _ranks(made: list[tuple[Kept, Fields]], key: str) -> Iterator[tuple[int, int]]:
    for each, state in made:
        rank = state.integer_or_none(key)
        if rank is not None:
            yield int(each.key), rank


def _restore_inspector(manager: FlowManager, flow: Flow, state: Fields, moment: float) -> Inspector:
    kind = TcpInspector if flow.protocol == ipv4.TCP else DatagramInspector
    services, helpers = manager.announcements, manager.registered
    flow.inspector = inspector = kind.from_state(
        services, manager, flow, helpers, state.fields("inspector"), moment
    )
    manager.inspected.change(flow.payer, COST)
    inspector.registered.watching += inspector.is_inspecting
    _set_timer(manager, inspector, state, moment, "inspector_due")
    return inspector


# -- the rest


def _restore_helpers(manager: FlowManager, state: Fields) -> None:
    """Enter the helpers of a state with their counters. One that the policy no longer has, or has with other
    settings, is unloaded or loaded later (`apply_helpers`)."""
    uses = {use.name: use for use in manager.policy.helpers}
    manager.registered.restore(
        Registered.from_state(each, uses.get(each.text("name"))) for each in state.rows("helpers")
    )
    for helper in manager.registered.values():
        helper.watching = 0  # counted anew, since flows may have newer records than this


def _restore_rest(manager: FlowManager, state: Fields, moment: float) -> None:
    counts = state.integers("counts")
    manager.counts[: len(counts)] = counts[: len(manager.counts)]
    manager.events.lost = state.integer("lost_events")
    # Records of things may be newer than this one.
    manager.opened = max(manager.opened, state.integer("opened"))
    manager.table.finished = max(manager.table.finished, state.integer("finished"))
    added = state.fields("added")
    for at, each in enumerate((manager.unconfirmed, manager.unconfirmed_inspected)):
        each.added = max(each.added, added.integer(at))
    manager.expectations.added = max(manager.expectations.added, state.integer("expected"))
    manager.reassembly.begun = max(manager.reassembly.begun, state.integer("reassembled"))
    manager.work.restore(state.fields("work"), moment)
    manager.refusals.restore(state.fields("refusals"), moment)
    manager.shortage.restore(state.fields("shortage"), moment)
    manager.identifications.restore(state.fields("identifications"))
    manager.admission.port_hold.restore(state, "lost", moment)
    if "offloaded" in state.names():  # an older gateway did not write it
        manager.offloading.tally.restore(state.fields("offloaded"))


def _resume(manager: FlowManager, before: Basis) -> None:
    """Begin to work under the present policy; `before` is that of the state."""
    restart_helpers(manager, list(manager.table.flows.values()))
    if before == Basis.of(manager.policy):
        operate.apply_helpers(manager, manager.now)
    else:
        operate.conform(manager, before)


def restart_helpers(manager: FlowManager, flows: Iterable[Flow]) -> None:
    """Let helpers that could not take over their state begin anew."""
    names = {use.name for use in manager.policy.helpers}
    for flow in flows:
        inspector = flow.inspector
        if inspector is None or not (inspector.is_inspecting and inspector.lacks_helper):
            continue
        if inspector.registered.use.name in names:  # else it is unloaded below
            manager.release(flow, Reason.HELPER_RESTARTED)
            manager.bind(flow, flow.ends)
