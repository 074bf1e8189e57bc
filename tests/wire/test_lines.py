"""What is said of a firewall, in lines."""

from __future__ import annotations

from ipmasq.wire.lines import WIDTH, lines, with_commands

WHAT = "the host's firewall drops the gateway's packets: " + "gi -> ipmasq-in (new), " * 8
COMMANDS = [f'nft insert rule inet filter forward iifname "{name}" accept' for name in ("a", "b")]
TEXT = f"{WHAT}(docs/firewalls.md); add: {' && '.join(COMMANDS)}"


def test_sentences_are_broken_up_and_each_command_has_a_line_of_its_own() -> None:
    *said, first, second = lines(TEXT)
    assert [first, second] == [f"  add: {each}" for each in COMMANDS]
    assert len(said) > 2
    assert all(len(line) <= WIDTH for line in said)
    assert " ".join(line.strip() for line in said) == f"{WHAT}(docs/firewalls.md)"


def test_text_without_commands_is_broken_up_only_if_it_is_known_to_be_about_a_firewall() -> None:
    assert len(lines(WHAT)) > 2
    assert with_commands(WHAT) == [WHAT]
    assert with_commands(TEXT) == lines(TEXT)


def test_commands_that_delete_are_told_from_those_that_add() -> None:
    delete = "nft delete rule inet filter forward handle 7"
    *_, first, second, third = lines(f"{TEXT}; or delete: {delete}")
    assert [first, second] == [f"  add: {each}" for each in COMMANDS]
    assert third == f"  or delete: {delete}"
    assert with_commands(f"it translates; delete: {delete}") == [
        "it translates",
        f"  delete: {delete}",
    ]
