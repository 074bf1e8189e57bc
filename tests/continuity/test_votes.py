"""Members ask each other whether one may keep the lease while the store is silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ipmasq.continuity.authentic import Entry, Seal
from ipmasq.continuity.votes import Votes
from ipmasq.continuity.worker import Worker

SEAL = Seal(b"a secret of the operator", "group", "votes")
HERE = ("127.0.0.1", 0)


@contextmanager
def member(name: str, consents: bool = True, seal: Seal = SEAL) -> Iterator[Votes]:
    """A member that answers questions."""
    votes = Votes(seal, name, HERE, lambda share: consents)
    worker = Worker("votes", lambda: votes.answer() or 0.005)
    worker.start()
    yield votes
    worker.end(1)
    votes.close()


def test_all_other_members_must_consent():
    with member("one") as one, member("two") as two, member("three", consents=False) as three:
        for each in (two, three):
            each.peers = {"one": one.endpoint}
        one.peers = {"two": two.endpoint}
        assert one.ask(7)
        one.peers = {"two": two.endpoint, "three": three.endpoint}
        assert not one.ask(7)


def test_nobody_does_not_consent():
    with member("one") as one:
        assert not one.ask(1)


def test_a_member_that_does_not_answer_does_not_consent():
    with member("one") as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(HERE)
        one.peers = {"two": deaf.getsockname()}
        assert not one.ask(1)


@pytest.mark.row("A-40")
def test_an_answer_with_another_key_is_no_consent():
    evil = Seal(b"the secret of an attacker", "group", "votes")
    with member("one") as one, member("two", seal=evil) as two:
        two.peers = {"one": one.endpoint}
        one.peers = {"two": two.endpoint}
        assert not one.ask(1)


@pytest.mark.row("A-40")
def test_a_question_that_is_replayed_gets_no_second_consent():
    given = threading.Semaphore(0)
    votes = Votes(SEAL, "two", HERE, lambda share: given.release() or True)
    votes.peers = {"one": ("127.0.0.1", 1)}
    question = SEAL.write(Entry("one", 1, 1000, b"ask" + bytes(16)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(question, votes.endpoint)
        votes.answer()
        assert SEAL.read(asking.recv(1024)).payload == b"yesask" + bytes(16)
        asking.sendto(question, votes.endpoint)
        votes.answer()
    assert given.acquire(blocking=False)
    assert not given.acquire(blocking=False)
    votes.close()


def test_a_stranger_gets_no_consent():
    votes = Votes(SEAL, "two", HERE, lambda share: pytest.fail("consent was given"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(SEAL.write(Entry("x", 1, 1000, b"ask" + bytes(16))), votes.endpoint)
        votes.answer()
    votes.close()
