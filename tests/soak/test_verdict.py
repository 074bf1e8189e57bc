"""What is judged good, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.load import Count, Job
from tests.soak.samples import Sample
from tests.soak.verdict import Outcome, judge, told

JOB = Job("FTP, client inside", "in1", "ftp", ())
FACTS = {
    **{
        "flows": 3,
        "blocks": 100,
        "heap_used": 1 << 20,
        "events": 7,
        "lost_events": 0,
        "faults": 5,
        "offloaded": 0,
    },
    "packets": {"translated": 9},
}


def count(**changed: object) -> Count:
    return {"completed": 10, "bytes": 1000, "failed": {"reset": 2}, "wrong": []} | changed


def samples(
    memory: Callable[[int], float] = lambda n: 40_000 + n % 7,
    descriptors: Callable[[int], int] = lambda n: 15,
) -> list[Sample]:
    """Every two seconds for ten minutes."""
    return [
        Sample(2.0 * n, int(memory(n)), 0, Counter({"socket NETLINK": descriptors(n)}), FACTS)
        for n in range(300)
    ]


def outcome(**changed: object) -> Outcome:
    taken = samples()
    good = Outcome([(JOB, count())], samples=taken, idle=(taken[0], taken[-1]))
    return replace(good, **changed)  # type: ignore[arg-type]


def test_a_soak_without_faults_is_good_though_some_attempts_failed() -> None:
    assert judge(outcome()) == []
    assert "2 reset" in told(outcome())


def test_a_completed_transfer_with_wrong_bytes_is_a_fault() -> None:
    wrong = [(JOB, count(wrong=["PASV upload of 20 bytes: 19 bytes came"]))]
    assert judge(outcome(counts=wrong)) == [
        "FTP, client inside: PASV upload of 20 bytes: 19 bytes came"
    ]


@pytest.mark.parametrize("bad", [count(completed=0), "it ended with 1: Traceback"])
def test_a_worker_that_did_nothing_is_a_fault(bad: Count | str) -> None:
    assert len(judge(outcome(counts=[(JOB, bad)]))) == 1


def test_memory_that_grows_is_a_fault() -> None:
    grown = samples(memory=lambda n: 40_000 + n * 2 / 60 * 1100)
    assert [each for each in judge(outcome(samples=grown)) if "memory" in each]


def test_descriptors_that_leak_are_a_fault() -> None:
    leaky = samples(descriptors=lambda n: 15 + n // 10)
    found = judge(outcome(samples=leaky, idle=(leaky[0], leaky[-1])))
    assert len(found) == 2
    assert all("descriptors" in each for each in found)
    assert found[1] == "descriptors were left open: 29 socket NETLINK"


def test_a_descriptor_in_the_place_of_another_is_a_fault() -> None:
    before, after = samples()[0], replace(samples()[-1], opened=Counter({"/dev/net/tun": 15}))
    assert judge(outcome(idle=(before, after))) == ["descriptors were left open: 15 /dev/net/tun"]


def test_what_else_was_found_is_passed_on() -> None:
    assert judge(outcome(faults=["left behind: rules"])) == ["left behind: rules"]


def test_nothing_is_said_of_memory_before_it_is_warm() -> None:
    young = samples(memory=lambda n: 40_000 + 100 * n)[:80]
    assert judge(outcome(samples=young)) == []
    assert "too short to say" in told(outcome(samples=young))
