"""Polices floods: programs where packets leave the kernel for the engine (see bpf/policer.h)."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Mapping
from ctypes import byref, c_uint32, c_uint64

from pyroute2 import IPRoute

from ipmasq.core.policy import Limits
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.attach import Attached, attach_up
from ipmasq.planes.ebpf.devices import Device
from ipmasq.planes.ebpf.layout import Account
from ipmasq.planes.ebpf.pins import Pins
from ipmasq.planes.fastpath import Offender

ACCOUNTS = tuple(Account)
MOST_OFFENDERS = 4096
"""The most offenders that are examined, which takes some 20 ms."""

Rates = Mapping[Account, int]
"""Packets per second. Accounts that are not named have no limit."""


PART = 16
"""A TCP connection may have this fraction of the packets that an inside host's flows may leave to the engine."""


def rates(limits: Limits) -> Rates:
    """Return the rates at which packets may be left to the engine."""
    return {
        Account.FLOW: max(1, limits.tracked_pps_per_host // PART),
        Account.HOST: limits.tracked_pps_per_host,
        Account.OPENINGS: limits.untracked_pps_per_host,
        Account.UNTRACKED: limits.untracked_pps_per_side,
    }


class Policer:
    def __init__(self, loaded: libbpf.Object, pins: Pins | None = None) -> None:
        self._lib = libbpf.library()
        self._loaded, self._pins = loaded, pins
        self._attached: list[Attached] = []

    def attach(self, kernel: IPRoute, devices: Mapping[Side, Device | None]) -> None:
        """Attach to the devices by which packets leave for the engine. Raises OSError, NetlinkError."""
        for side, device in devices.items():
            if device is None:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            self._attached.append(attach_up(kernel, self._loaded, device, side, self._pins))

    def detach(self, kernel: IPRoute) -> None:
        attached, self._attached = self._attached, []
        for each in attached:
            each.detach(kernel)

    def leave(self) -> None:
        """Leave the programs attached for a successor."""
        for each in self._attached:
            each.leave()

    def set_rates(self, rates: Rates) -> None:
        """Set the rates of all accounts."""
        for account, rate in rates.items():
            price = c_uint64(1_000_000_000 // rate)
            self._lib.bpf_map_update_elem(
                self._loaded.map("costs"), byref(c_uint32(account)), byref(price), 0
            )

    def dropped(self) -> dict[tuple[Side, Account], int]:
        """Return the number of dropped packets by side and account."""
        counts = libbpf.counts(self._loaded.map("dropped"), len(Side) * len(Account))
        return {
            (side, account): counts[side * len(Account) + account]
            for side in Side
            for account in Account
        }

    def offenders(self) -> Iterator[Offender]:
        """Yield senders that have lost packets; not all of them if there are very many."""
        accounts = self._loaded.map("accounts")
        payer = ctypes.create_string_buffer(layout.Payer.size)
        state = ctypes.create_string_buffer(layout.AccountState.size)
        before = None
        # The loop is bounded: in a flood, the list grows and starts again while it is read.
        for _ in range(MOST_OFFENDERS):
            if self._lib.bpf_map_get_next_key(accounts, before, payer):
                return
            before = payer.raw
            if self._lib.bpf_map_lookup_elem(accounts, before, state) == 0:
                whose, side, kind = layout.Payer.unpack(before)
                _, dropped = layout.AccountState.unpack(state.raw)
                account = ACCOUNTS[kind]
                if dropped:
                    host = whose if account in (Account.HOST, Account.OPENINGS) else None
                    yield Offender(Side(side), account.sentence, host, dropped)
