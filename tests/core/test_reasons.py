"""The closed list of reasons."""

from __future__ import annotations

from ipmasq.core.reasons import Reason


def test_every_reason_has_a_sentence_of_its_own():
    sentences = [reason.sentence for reason in Reason]
    assert all(sentences)
    assert len(set(sentences)) == len(sentences)


def test_a_reason_is_found_by_its_number_and_no_number_is_used_twice():
    assert [Reason(int(reason)) for reason in Reason] == list(Reason)
    assert len(Reason.__members__) == len(Reason), "two names would have one number"


def test_packets_go_on_or_are_dropped_and_what_ends_is_no_packet():
    assert [reason.name for reason in Reason if reason < Reason.MALFORMED] == [
        "TRANSLATED",
        "PASSED",
        "HOST",
        "HELD",
    ]
    for reason in Reason:
        assert reason.is_drop is (10 <= reason < 40)
