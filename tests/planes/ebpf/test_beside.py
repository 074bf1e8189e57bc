"""The gateway writes in the table, and another processor forwards packets, while programs read it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.grace import Grace
from ipmasq.planes.ebpf.layout import Hook, Use
from ipmasq.planes.ebpf.slots import Slots
from tests.planes.ebpf.compiled import REAL, compiled
from tests.planes.ebpf.kernel import Kernel, network
from tests.planes.ebpf.oracle import FLOWS, Oracle, key, packet
from tests.planes.ebpf.turnover import CAPACITY, Turnover

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors"),
]
each_hook = pytest.mark.parametrize("hook", list(Hook), ids=lambda hook: hook.name)

SECONDS = 1.2
PATIENCE = 60.0
"""Seconds after which what was to happen has not happened. It takes one, where nothing else runs."""

WAIT = "({ for (int i_ = 0; i_ < 20000; i_++) bpf_ktime_get_coarse_ns(); %s; })"
HELD_UP = {
    Hook.TC: ("bpf_l4_csum_replace(a,b,c,d,e)", "bpf_l4_csum_replace(a, b, c, d, e)"),
    Hook.XDP: ("bpf_redirect_map(a,b,c)", "bpf_redirect_map(a, b, c)"),
}
"""Called when the slot has been found, and not all of it read: 50 microseconds there are as if an
interrupt came then, for each packet. Usually programs are too fast for the gateway to come between."""
IN_TWO_STEPS = "__sync_fetch_and_add(at,n)=(*(at)+=(n))"


@pytest.fixture(scope="module")
def devices() -> Iterator[dict[str, int]]:
    with network() as found:
        yield found


@contextmanager
def turnover(
    devices: dict[str, int], hook: Hook, slow: str, make: type[Slots] = Slots
) -> Iterator[Turnover]:
    """`slow`: whoever lingers in the midst of what it does, the `gateway` or the `programs`."""
    image = None
    if slow == "programs":
        called, call = HELD_UP[hook]
        image = compiled(REAL, f"{called}={WAIT % call}")
    with ExitStack() as stack:
        kernel = stack.enter_context(closing(Kernel(devices, hook, CAPACITY, image)))
        kernel.heartbeat(0)
        oracle = Oracle(kernel, 500) if image else Oracle(kernel)
        stack.enter_context(closing(oracle))
        yield Turnover(oracle, make, slow == "gateway", seed=1)


@each_hook
@pytest.mark.parametrize("slow", ["gateway", "programs"])
def test_while_flows_come_and_go_each_packet_is_rewritten_as_its_own_flow_and_wholly(
    devices: dict[str, int], hook: Hook, slow: str
) -> None:
    with turnover(devices, hook, slow) as made:
        oracle = made.oracle

        def enough() -> bool:
            return min(oracle.judgement()[:2]) > 1000 and min(made.entered, made.displaced) > 100

        with oracle.sitting():
            made.work(SECONDS)
            made.work(PATIENCE, enough)
        assert enough()
        found = oracle.judgement()
        assert not found.guilty, found
        for flow, frame in enumerate(oracle.frames):
            wanted = oracle.becomes[made.wires[flow]] if flow in made.offloaded else frame
            assert oracle.kernel.run(frame, 0)[1] == wanted


USE, REACH, HALF, SIZE = 14, 15, 16, 64
"""Where in a slot, and how large it is."""


class InUseAtFirst(Slots):
    """Says that a slot is in use before all else is written."""

    def insert(self, key: bytes, half: bytes, use: Use) -> int | None:
        memory, home = self._memory, self.home(key)
        for slot in range(home, home + layout.WINDOW + 1):
            at = slot * SIZE
            if memory[at + USE] == Use.EMPTY:
                memory[at + USE] = use
                memory[at + HALF : at + SIZE] = half
                memory[at : at + USE] = key[:USE]
                reach = home * SIZE + REACH
                memory[reach] = max(memory[reach], slot - home)
                return slot
        return None


class NeverResting(Slots):
    """Uses a slot again at once."""

    def remove(self, slot: int) -> None:
        super().remove(slot)
        self.reclaim()
        self.reclaim()


class Shortsighted(Slots):
    """Forgets that others of this home may stand behind it."""

    def _shorten(self, home: int, reach: int) -> None:
        self._memory[home * SIZE + REACH] = 0


@each_hook
@pytest.mark.parametrize(
    ("mistaken", "slow", "becomes"),
    [
        (InUseAtFirst, "gateway", "wrong"),
        (NeverResting, "programs", "wrong"),
        (Shortsighted, "gateway", "missed"),
    ],
)
def test_a_mistake_in_writing_would_be_found(
    devices: dict[str, int], hook: Hook, mistaken: type[Slots], slow: str, becomes: str
) -> None:
    with turnover(devices, hook, slow, mistaken) as made:

        def found() -> bool:
            return getattr(made.oracle.judgement(), becomes) > 0

        with made.oracle.sitting():
            made.work(PATIENCE, found)
        assert found()


class Hasty(Grace):
    """Says at once that all programs have ended."""

    def _wait(self) -> None:
        pass


@each_hook
def test_a_grace_period_that_is_not_waited_for_would_be_found(
    devices: dict[str, int], hook: Hook
) -> None:
    with turnover(devices, hook, "programs") as made:
        made.oracle.kernel.table.grace = Hasty(made.oracle.kernel.loaded)

        def found() -> bool:
            return made.oracle.judgement().wrong > 0

        with made.oracle.sitting():
            made.work(PATIENCE, found)
        assert found()


@each_hook
def test_a_gateway_that_says_that_it_lives_is_never_taken_for_silent(
    devices: dict[str, int], hook: Hook
) -> None:
    with turnover(devices, hook, "neither") as made:
        for flow in range(FLOWS):
            made.enter(flow)
        began = time.monotonic()
        with made.oracle.sitting():
            while (passed := time.monotonic() - began) < PATIENCE:
                made.oracle.kernel.table.heartbeat(time.monotonic())
                if passed > SECONDS and made.oracle.judgement().forwarded > 1000:
                    break
        found = made.oracle.judgement()
        assert not found.guilty, found
        assert found.forwarded > 1000


def counted(devices: dict[str, int], hook: Hook, *macros: str) -> tuple[int, int, int]:
    """Packets and bytes of one flow that are counted while two processors forward it; packets sent."""
    with ExitStack() as stack:
        kernel = Kernel(devices, hook, image=compiled(REAL, *macros) if macros else None)
        stack.enter_context(closing(kernel))
        kernel.heartbeat(0)
        oracle = stack.enter_context(closing(Oracle(kernel)))
        slot = kernel.table.slots.insert(key(0), oracle.half(0), Use.OFFLOADED)
        assert slot is not None
        before = kernel.reasons()
        sent = oracle.send_at_once(1_000_000)
        assert kernel.reasons() == before, "all were forwarded"
        reading = kernel.table.read(slot, 0, time.monotonic())
        assert reading is not None
        return reading.traffic.packets, reading.traffic.bytes, sent


@each_hook
@pytest.mark.row("A-30")
def test_a_flow_that_two_processors_forward_at_once_is_counted_exactly(
    devices: dict[str, int], hook: Hook
) -> None:
    packets, octets, sent = counted(devices, hook)
    assert packets == sent
    assert octets == sent * len(packet(0))


@each_hook
def test_a_count_that_is_read_and_written_in_two_steps_would_be_found(
    devices: dict[str, int], hook: Hook
) -> None:
    for _ in range(
        10
    ):  # until two come at once, which may take a while where others use the processors
        packets, _, sent = counted(devices, hook, IN_TWO_STEPS)
        if packets < sent:
            return
    pytest.fail("every packet was counted")
