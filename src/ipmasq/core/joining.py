"""Records of another engine in a running one: what another member of a group has served goes on here.

Both have counted their things from 1, so those that come are numbered anew, after those that are here. Their public
addresses are others, so their ports and keys cannot meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ipmasq.core import mapping_state
from ipmasq.core.changes import Changes, Kind
from ipmasq.core.compact import Compact
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.indexed import Indexed
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.records import FLOW_NAMES, VERSION
from ipmasq.core.restoring import (
    Kept,
    Rows,
    by_kind,
    drop_unused,
    enter,
    latest_of,
    restart_helpers,
    restore_later,
)
from ipmasq.core.unrestored import pool_of

MASTER, INSPECTOR = FLOW_NAMES.index("master"), FLOW_NAMES.index("inspector")


def join(manager: FlowManager, kept: Iterable[Kept], plain: Compact) -> int:
    """Enter the things of another engine; those in `plain`, whose values are checked, are restored later. Return the number
    of its flows. Raises StateError; then some of them may be there."""
    try:
        mappings = manager.table.mappings
        found = by_kind(kept)
        pools = {
            int(each.key): mapping_state.join_pool(mappings, Fields(each.row, f"pool {each.key}"))
            for each in found[Kind.POOL]
        }
        waiting, rows = _plain(manager, plain, pools), _renumbered(manager, found, pools)
        for each in rows[Kind.MAPPING]:
            fields = Fields(each.row, f"mapping {each.key}")
            mapping_state.restore_mapping(mappings, int(each.key), fields)
        latest = latest_of(rows, waiting)
        if waiting.flows or waiting.mappings:
            known = {pool.number: pool_of(pool) for pool in mappings.numbered}
            restore_later(manager, Indexed.of(waiting, known), latest)
        mapping_state.claim_ports(mappings)
        flows = enter(manager, rows, latest)
    finally:
        drop_unused(manager)
    _hold_ports(manager, found)
    _mark(manager.changes, rows)
    restart_helpers(manager, flows)
    return len(flows) + len(waiting.flows)


def _hold_ports(manager: FlowManager, rows: Rows) -> None:
    """Hold back ports as long as the other engine would have."""
    for each in rows[Kind.REST]:
        state = Fields(each.row, "state")
        if state.integer("version") == VERSION:
            manager.admission.port_hold.restore(state, "lost", each.moment)


def _mark(changes: Changes, rows: Rows) -> None:
    """Mark as changed what has come."""
    for each in rows[Kind.MAPPING]:
        changes.mapping(int(each.key))
    for each in rows[Kind.FLOW]:
        changes.flow(int(each.key))
    for each in (*rows[Kind.EXPECTATION], *rows[Kind.TRIGGER]):
        changes.other(Kind(each.kind), each.key)


def _plain(manager: FlowManager, plain: Compact, pools: dict[int, int]) -> Compact:
    """Return the rows with numbers that are free here."""
    opened = manager.opened
    return Compact(
        {number + opened: row for number, row in plain.flows.items()},
        {number + opened: moment for number, moment in plain.moments.items()},
        {_pool(pools, each) << 16 | each & 0xFFFF: row for each, row in plain.mappings.items()},
    )


def _renumbered(manager: FlowManager, rows: Rows, pools: dict[int, int]) -> Rows:
    """Return the records with numbers that are free here."""
    opened, expected = manager.opened, manager.expectations.added
    active = manager.admission.active_triggers
    return {
        **{kind: [] for kind in Kind},
        Kind.MAPPING: [
            each._replace(key=_pool(pools, int(each.key)) << 16 | int(each.key) & 0xFFFF)
            for each in rows[Kind.MAPPING]
        ],
        Kind.FLOW: [
            each._replace(key=int(each.key) + opened, row=_flow(manager, each.row, opened))
            for each in rows[Kind.FLOW]
        ],
        Kind.EXPECTATION: [
            each._replace(key=int(each.key) + expected, row=_expectation(each.row, opened))
            for each in rows[Kind.EXPECTATION]
        ],
        Kind.TRIGGER: [each for each in rows[Kind.TRIGGER] if each.key not in active],
    }


def _pool(pools: dict[int, int], number: int) -> int:
    if number >> 16 not in pools:
        raise StateError(f"mapping {number}: there is no pool {number >> 16}")
    return pools[number >> 16]


def _flow(manager: FlowManager, row: Any, opened: int) -> object:
    if not isinstance(row, list | tuple) or len(row) != len(FLOW_NAMES):
        return row  # it is refused when it is read
    values = list(row)
    if isinstance(values[MASTER], int):
        values[MASTER] += opened
    values[INSPECTOR] = _without_unknown_helper(manager, values[INSPECTOR])
    return values


def _without_unknown_helper(manager: FlowManager, inspector: Any) -> object:
    """Let a connection go on without its helper if that is not loaded here."""
    attachment = inspector.get("attachment") if isinstance(inspector, dict) else None
    if not isinstance(attachment, dict) or attachment.get("helper") in manager.registered:
        return inspector
    return {
        **inspector,
        "is_inspecting": False,
        "attachment": {**attachment, "is_loaded": False, "version": None, "state": None},
    }


def _expectation(row: Any, opened: int) -> object:
    if isinstance(row, dict) and isinstance(row.get("flow"), int):
        return {**row, "flow": row["flow"] + opened}
    return row
