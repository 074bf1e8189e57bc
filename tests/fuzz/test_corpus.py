"""Every input that the fuzzer found worth keeping is lawful, without the fuzzer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import fuzz
from fuzz.findings import finding
from fuzz.targets import NAMES, target

CORPUS = Path(fuzz.__file__).parent / "corpus"
MOST_BYTES = 400_000


@pytest.mark.parametrize("name", NAMES)
def test_no_kept_input_breaks_a_law(name: str):
    files = sorted((CORPUS / name).iterdir())
    assert len(files) >= 5
    one_input = target(name).one_input
    broken = {
        file.name: found[1] for file in files if (found := finding(one_input, file.read_bytes()))
    }
    assert broken == {}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 40, bytes(range(256))])
def test_inputs_that_nobody_chose_are_lawful_too(name: str, data: bytes):
    assert finding(target(name).one_input, data) is None


def test_the_corpus_is_small_and_of_targets_that_there_are():
    assert {folder.name for folder in CORPUS.iterdir()} == set(NAMES)
    assert sum(file.stat().st_size for file in CORPUS.glob("*/*")) < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_the_modules_by_which_a_corpus_is_measured_exist(name: str):
    measured = target(name).MEASURED
    assert measured
    assert [module for module in measured if find_spec(module) is None] == []
