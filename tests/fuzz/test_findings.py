"""What breaks a law is told apart by where it was broken, kept once, and made small."""

from __future__ import annotations

from pathlib import Path

from fuzz.findings import Findings, finding, shrink


def lawless(data: bytes) -> None:
    assert b"a" not in data
    assert b"b" not in data
    if b"c" in data:
        raise LookupError


def test_findings_at_different_places_have_different_keys():
    keys = {found[0] for data in (b"a", b"b", b"c") if (found := finding(lawless, data))}
    assert len(keys) == 3


def test_the_same_place_has_the_same_key_and_lawful_inputs_have_none():
    one, other = finding(lawless, b"a"), finding(lawless, b"xab")
    assert one is not None
    assert other is not None
    assert one[0] == other[0]
    assert finding(lawless, b"x") is None


def test_the_shortest_input_of_each_finding_is_kept_and_the_run_goes_on(tmp_path: Path):
    findings = Findings(tmp_path / "found", lawless)
    for data in (b"x", b"xxa", b"a", b"xa", b"xb"):
        findings(data)
    kept = sorted(file.read_bytes() for file in (tmp_path / "found").glob("finding-??????????"))
    assert kept == [b"a", b"xb"]
    assert len(list((tmp_path / "found").glob("*.txt"))) == 2


def test_an_input_shrinks_to_what_matters():
    assert shrink(lawless, b"hello, a long story" * 20) == b"a"
    assert shrink(lawless, b"lw.ful") == b"lw.ful"
