"""Why programs are refused, in sentences that say what to do."""

from __future__ import annotations

import errno

import pytest

from ipmasq.planes.ebpf.libbpf import NO_OBJECT
from ipmasq.planes.ebpf.loading import refusal
from ipmasq.planes.ebpf.table import SHARE, affordable


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.E2BIG])
def test_a_table_that_is_too_large_names_the_setting(number: int) -> None:
    said = refusal(OSError(number, "no"), 2_000_000)
    assert "2,000,000 flows" in said
    assert "limits.flows" in said


def test_other_refusals_say_what_is_wrong() -> None:
    assert "needs root" in refusal(OSError(errno.EPERM, "no"), 1)
    assert "damaged" in refusal(OSError(NO_OBJECT, "no"), 1)
    assert "disk full" in refusal(OSError(errno.ENOSPC, "disk full"), 1)


def test_the_table_takes_its_share_of_the_memory_and_no_more() -> None:
    memory = 512 << 20
    assert (
        affordable(memory) * 2 * 2 * 64 <= memory // SHARE < (affordable(memory) + 1) * 2 * 2 * 64
    )
