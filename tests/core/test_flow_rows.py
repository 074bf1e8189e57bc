"""Rows in blocks and rows by themselves are found, replaced and removed alike."""

from __future__ import annotations

from random import Random

import pytest

from ipmasq.core import flow_rows
from ipmasq.core.flow_rows import SIZE, FlowRows
from ipmasq.core.rows import Rows


def row(chance: Random) -> bytes:
    return chance.randbytes(SIZE)


def add(made: FlowRows, model: dict[int, tuple[bytes, float]], numbers: list[int], chance: Random):
    new = {number: row(chance) for number in numbers if number not in model}
    assert made.has_any(numbers) == (len(new) < len(numbers))
    moments = [chance.random() for _ in new]
    made.add(Rows.of(new, SIZE), moments)
    model.update(zip(new, zip(new.values(), moments, strict=True), strict=True))


def same(made: FlowRows, model: dict[int, tuple[bytes, float]]) -> None:
    assert len(made) == len(model)
    assert sorted(made) == sorted(model)
    assert {number: each for number, *each in made.each()} == {n: [*m] for n, m in model.items()}
    assert made.protocols() >= {each[0] for each, _ in model.values()}
    rows = [part[at : at + SIZE] for part in made.some(7) for at in range(0, len(part), SIZE)]
    assert sorted(rows) == sorted(each for each, _ in model.values())
    for number in range(-1, 140):
        assert made.get(number) == model.get(number, (None,))[0]
        assert (number in made) == (number in model)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes_and_goes_the_rows_are_those_of_a_dictionary(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_rows, "LEAST", 4)
    chance, made, model = Random(seed), FlowRows(), dict[int, tuple[bytes, float]]()
    latest = 0.0
    for _ in range(40):
        first = chance.randrange(100)
        numbers = chance.sample(range(first, first + 30), chance.randrange(1, 12))
        if chance.random() < 0.7:
            numbers.sort()
        add(made, model, numbers, chance)
        latest = max(latest, *(moment for _, moment in model.values()))
        for number in chance.sample(sorted(model), len(model) // 4):
            new = row(chance), chance.random()
            made.replace(number, *new)
            model[number] = new
            latest = max(latest, new[1])
        for number in chance.sample(range(140), 30):
            assert made.pop(number) == model.pop(number, None)
        same(made, model)
        assert made.latest == latest


def test_protocols_of_rows_are_known() -> None:
    made, count = FlowRows(), flow_rows.LEAST
    assert made.protocols() == set()
    assert made.latest == 0.0
    rows = b"".join(bytes((6 if number % 3 else 17, *bytes(SIZE - 1))) for number in range(count))
    made.add(Rows(range(count), rows, SIZE), [1.0] * count)
    assert made.protocols() == {6, 17}
    made.add(Rows([count], bytes((1, *bytes(SIZE - 1))), SIZE), [1.0])
    assert made.protocols() == {1, 6, 17}


def test_a_block_of_which_little_is_left_keeps_no_memory() -> None:
    made, count = FlowRows(), 2 * flow_rows.LEAST
    made.add(Rows(range(count), bytes(count * SIZE), SIZE), [1.0] * count)
    for number in range(count - 8):
        assert made.pop(number) == (bytes(SIZE), 1.0)
    assert made._blocks == []
    assert list(made) == list(range(count - 8, count))


@pytest.mark.parametrize("seed", range(8))
def test_what_goes_while_rows_are_given_out_is_left_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when blocks are dissolved meanwhile."""
    monkeypatch.setattr(flow_rows, "LEAST", 4)
    chance, made, model = Random(seed), FlowRows(), dict[int, tuple[bytes, float]]()
    for first in (0, 40, 80):
        add(made, model, list(range(first, first + 40)), chance)
    came = set[bytes]()
    for part in made.some(5):
        rows = {part[at : at + SIZE] for at in range(0, len(part), SIZE)}
        assert rows <= {each for each, _ in model.values()}
        came |= rows
        for number in chance.sample(sorted(model), min(len(model), 4)):
            made.pop(number)
            del model[number]
    assert {each for each, _ in model.values()} <= came
