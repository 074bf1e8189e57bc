from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ipmasq.core.side import Side
from ipmasq.gateway.floods import EVERY, Floods
from ipmasq.planes.ebpf.layout import Account
from ipmasq.planes.fastpath import NoFastPath, Offender


@dataclass(frozen=True)
class Flooded(NoFastPath):
    """What a fast path says of its policer."""

    debts: list[Offender] = field(default_factory=list)

    def dropped(self) -> int:
        return sum(each.dropped for each in self.debts)

    def offenders(self) -> Iterator[Offender]:
        return iter(self.debts)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return messages


def test_the_operator_is_told_who_sends_most_and_not_too_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    fast = Flooded()
    floods = Floods(fast)
    floods.look(1.0)
    assert said(caplog) == []
    host = bytes((10, 0, 0, 3))
    fast.debts[:] = [
        Offender(Side.INSIDE, Account.OPENINGS.sentence, host, 70),
        Offender(Side.OUTSIDE, Account.UNTRACKED.sentence, None, 30),
    ]
    floods.look(2.0)
    assert said(caplog) == [
        "100 packets dropped before the engine; most of them: 10.0.0.3, "
        "more packets without a flow from an inside host than limits.untracked_pps_per_host"
    ]
    fast.debts[1] = Offender(Side.OUTSIDE, Account.UNTRACKED.sentence, None, 35)
    floods.look(3.0)
    assert said(caplog) == []
    floods.look(2.0 + EVERY)
    assert said(caplog)[0].startswith(
        "5 packets dropped before the engine; most of them: the outside"
    )
    floods.look(2.0 + 2 * EVERY)
    assert said(caplog) == []
