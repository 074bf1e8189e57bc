"""Mappings of a state: what an earlier process had is entered into a new table."""

from __future__ import annotations

from ipmasq.core.compact import IS_CURRENT, IS_NARROW
from ipmasq.core.mapping import Mapping, NarrowMapping, SharedMapping
from ipmasq.core.mapping_table import MappingTable
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.policy import PortRange, port_set
from ipmasq.core.ports import PortPool, SharedPool
from ipmasq.core.unrestored import Unrestored, Waiting


def restore_pool(table: MappingTable, number: int, state: Fields) -> None:
    """Enter an empty pool of a state; pools are restored in the order of their numbers. Raises StateError."""
    if number != len(table.numbered):
        raise state.error(0, f"there is no pool {number - 1}")
    table.add_pool(_pool(state, number))


def join_pool(table: MappingTable, state: Fields) -> int:
    """Return the number of the pool that is like that of a state; it is made if there is none. Raises StateError."""
    made = _pool(state, len(table.numbered))
    for pool in table.pools_at(made.protocol, made.address):
        if pool.ports == made.ports and type(pool) is type(made):
            return pool.number
    table.add_pool(made)
    return made.number


def _pool(state: Fields, number: int) -> PortPool[Mapping]:
    """Return the empty pool of a state. Raises StateError."""
    ports = port_set(
        PortRange(each.integer(0, 0, 0xFFFF), each.integer(1, 0, 0xFFFF)) for each in state.rows(2)
    )
    kind: type[PortPool[Mapping]] = SharedPool if state.boolean(3) else PortPool
    return kind(state.integer(0, 0, 255), state.address(1), ports, number)


def restore_mapping(table: MappingTable, number: int, state: Fields) -> None:
    """Enter a mapping of a state. Its port is claimed at last, by `claim_ports`. Raises StateError."""
    if number >> 16 >= len(table.numbered):
        raise state.error(0, f"there is no pool {number >> 16}")
    pool = table.numbered[number >> 16]
    mapping = Mapping.from_state(state, pool, number & 0xFFFF)
    if table.at(mapping.protocol, mapping.public) is not None:
        raise state.error(0, f"port {mapping.port} has two mappings")
    if mapping.shared:
        pool.hold(mapping.port, mapping)
        return
    is_current, current = state.boolean(2), table.by_inside.get(mapping.key)
    if is_current and current is not None:
        raise state.error(2, "another mapping of this endpoint is current, too")
    table.hold(mapping, mapping.host)
    if not is_current:
        table.retire(mapping)
    if current is not None:
        table.by_inside[mapping.key] = current


def claim_ports(table: MappingTable) -> None:
    """Claim the ports of all mappings that were restored, or will be, at once."""
    waiting = {} if table.unrestored is None else table.unrestored.taken
    for pool in table.numbered:
        pool.claim_all({mapping.port for mapping in pool} | waiting.get(pool.number, set()))


def wait_for(table: MappingTable, unrestored: Unrestored) -> None:
    """Enter mappings that are restored later. Raises StateError."""
    for mapping in filter(unrestored.has, table.live()):
        raise StateError(f"mapping {mapping.number}: has the port of another one")
    if not unrestored.keys.isdisjoint(table.by_inside):
        raise StateError("state: two mappings of the same endpoint are current")
    table.unrestored = unrestored
    table.ports.change_all(unrestored.ports)


def restore_waiting(table: MappingTable, waiting: Waiting) -> Mapping:
    """Make one of them live, and return it. Its port is taken, and it is counted already."""
    pool, port = table.numbered[waiting.number >> 16], waiting.number & 0xFFFF
    if isinstance(pool, SharedPool):
        mapping: Mapping = SharedMapping(pool, port)
    else:
        mapping = (NarrowMapping if waiting.bits & IS_NARROW else Mapping)(waiting.key, pool, port)
        if waiting.bits & IS_CURRENT:
            table.by_inside[waiting.key] = mapping
    pool.restore(port, mapping)
    return mapping
