"""What is said to a user who types a lab's options wrong, or whose lab is in disorder."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipmasq.lab import record
from ipmasq.lab.cli import app


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record, "DIRECTORY", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("up", "--prefix", ""), "a prefix consists of letters, digits and '-'"),
        (("up", "--prefix", "x" * 300), "a prefix has at most 32 characters, not 300"),
        (("down", "--prefix", "../x"), "a prefix consists of letters"),
        (("status", "--prefix", "a b"), "a prefix consists of letters"),
        (("up", "--network", "home"), '"home" is not an IPv4 network, such as 10.0.0.0/24'),
        (("up", "--network", "fd00::/64"), '"fd00::/64" is not an IPv4 network'),
        (("up", "--network", "10.0.0.1/24"), 'is an address in a network; write "10.0.0.0/24"'),
        (("up", "--network", "203.0.113.0/24"), "overlaps 203.0.113.0/24, the gateways' outside"),
        (("up", "--network", "10.0.0.0/30"), "10.0.0.0/30 has no room for 2 hosts and a gateway"),
        (("up", "--mtu", "99999"), "65535"),
    ],
)
def test_wrong_usage_is_one_sentence_and_has_its_exit_code(typed: tuple[str, ...], sentence: str):
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("\u2502", " ").split())


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"created": 1, "plan": {"hosts": [{}]}}'])
@pytest.mark.parametrize("typed", [("status",), ("down",), ("exec", "in1", "--", "true")])
def test_a_damaged_record_is_named_with_its_remedy(
    directory: Path, typed: tuple[str, ...], content: str
):
    (directory / "torn").mkdir()
    (directory / "torn" / "lab.json").write_text(content)
    done = CliRunner().invoke(app, [typed[0], "--prefix", "torn", *typed[1:]])
    assert done.exit_code == 1
    assert f"{directory}/torn/lab.json is damaged; remove it" in done.output


def test_a_lab_that_is_not_there_is_told_with_those_that_are(directory: Path):
    done = CliRunner().invoke(app, ["status", "--prefix", "nope"])
    assert (done.exit_code, done.output) == (1, "ipmasq lab: there is no lab 'nope'\n")
