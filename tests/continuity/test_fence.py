"""The lease of a group in a real server: one member at a time, and each for no longer than it is sure."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ipmasq.continuity import lease
from ipmasq.continuity.fence import PATIENCE, VALID, Fence
from ipmasq.continuity.lease import LIFE, key
from ipmasq.continuity.sentinels import Connector
from ipmasq.continuity.server import Address
from tests.continuity.stores import Store, wait_until

Make = Callable[..., Fence]


@pytest.fixture
def fence(store: Store) -> Iterator[Make]:
    with ExitStack() as undo:

        def make(member: str, **options: object) -> Fence:
            connect = options.pop("connect", store.connect)
            made = Fence(connect, "group", member, time.monotonic, lambda: None, **options)
            made.start()
            undo.callback(made.close)
            return made

        yield make


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Connector]:
    """Connects to a server that never answers, as through a link that is cut."""
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        yield Connector(Address.parse(f"unix://{path}"))


def holds(fence: Fence) -> bool:
    return time.monotonic() < fence.until


def test_the_first_member_that_wants_the_lease_gets_it_and_keeps_it(fence: Make):
    one, other = fence("one"), fence("other")
    one.want()
    wait_until(lambda: holds(one))
    other.want()
    time.sleep(1.5 * LIFE)
    assert holds(one)
    assert not holds(other)
    assert other.holder == "one"


def test_a_lease_that_is_given_up_passes_to_the_next_at_once(
    fence: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lease, "LIFE", 1000.0)  # it is released, and does not end by itself
    one, other = fence("one"), fence("other")
    one.want()
    wait_until(lambda: holds(one))
    first = one.generation
    other.want()
    one.give_up()
    assert not holds(one)
    wait_until(lambda: holds(other))
    assert other.generation > first


@pytest.mark.row("HA-13")
def test_a_holder_that_is_cut_off_stops_before_another_one_begins(fence: Make, silent: Connector):
    one, other = fence("one"), fence("other")
    one.want()
    wait_until(lambda: holds(one))
    one._connect = silent
    one._drop_client()
    other.want()
    cut = time.monotonic()
    wait_until(lambda: holds(other), LIFE + 1)
    assert not holds(one)
    assert one.until <= cut + VALID + PATIENCE
    assert one.trouble


@pytest.mark.row("HA-13")
def test_a_holder_whose_password_was_changed_stops_before_another_one_begins(
    store: Store, fence: Make
):
    """The store serves the other one, which has the new password."""
    new = Connector(Address.parse(f"{store.url}?password=new"))
    one = fence("one")
    one.want()
    wait_until(lambda: holds(one))
    store.client().config_set("requirepass", "new")
    store.password = "new"
    other = fence("other", connect=new)
    other.want()
    one._drop_client()
    while not holds(other):
        time.sleep(0.002)
    assert not holds(one)
    time.sleep(VALID)
    assert holds(other)
    assert not holds(one)
    assert "uthentication" in one.trouble or "password" in one.trouble


@pytest.mark.row("HA-13")
def test_a_holder_returns_and_finds_another_one(fence: Make, silent: Connector):
    one, other = fence("one"), fence("other")
    one.want()
    wait_until(lambda: holds(one))
    reach, one._connect = one._connect, silent
    one._drop_client()
    other.want()
    wait_until(lambda: holds(other))
    one._connect = reach
    wait_until(lambda: not one.trouble and not one.generation)
    other.give_up()
    wait_until(lambda: holds(one))
    assert one.generation > other.known - 1


@pytest.mark.row("HA-14")
def test_a_holder_goes_on_while_the_store_is_down_and_after_it_has_lost_everything(
    store: Store, fence: Make
):
    one = fence("one")
    one.want()
    wait_until(lambda: holds(one))
    generation = one.generation
    store.stop()
    wait_until(lambda: one.trouble)
    end = time.monotonic() + 1.5 * LIFE
    while time.monotonic() < end:
        assert holds(one)
        time.sleep(0.01)
    store.start()
    wait_until(lambda: not one.trouble)
    assert holds(one)
    assert one.generation == generation
    assert store.client().get(key("group", "generation")) == str(generation).encode()


@pytest.mark.row("HA-14")
def test_a_holder_stops_if_the_store_hangs_unless_the_others_consent(store: Store, fence: Make):
    consents = True
    one = fence("one", vote=lambda generation: consents)
    one.want()
    wait_until(lambda: holds(one))
    store.hang()
    wait_until(lambda: one.trouble)
    time.sleep(1.5 * LIFE)
    assert holds(one)
    consents = False
    wait_until(lambda: not holds(one), LIFE + 1)
    store.go_on()
    wait_until(lambda: holds(one))


def test_a_member_whose_process_ended_resumes_its_role_unless_it_gave_it_up(fence: Make):
    one = fence("one")
    one.want()
    wait_until(lambda: holds(one))
    one.close()
    again = fence("one")
    wait_until(lambda: holds(again))
    assert again.generation > one.known
    again.give_up()
    wait_until(lambda: not again.generation)
    again.close()
    third = fence("one")
    time.sleep(0.5)
    assert not third.wanted


def test_a_member_does_not_resume_a_role_that_another_one_has_had_since(fence: Make):
    one, other = fence("one"), fence("other")
    one.want()
    wait_until(lambda: holds(one))
    other.want()
    one.close()
    wait_until(lambda: holds(other))
    again = fence("one")
    time.sleep(0.5)
    assert not again.wanted


def test_a_member_that_has_agreed_not_to_acquire_the_lease_does_not(fence: Make):
    one = fence("one")
    started = time.monotonic()
    assert one.consent()
    one.want()
    assert not one.consent()
    wait_until(lambda: holds(one))
    assert time.monotonic() - started >= LIFE


def test_a_generation_is_above_all_that_a_member_knows_of(store: Store, fence: Make):
    one = fence("one")
    one.known = 41
    one.want()
    wait_until(lambda: holds(one))
    assert one.generation == 42


@pytest.mark.row("HA-13")
def test_two_members_of_the_same_name_do_not_share_the_lease(fence: Make):
    one, namesake = fence("one"), fence("one")
    one.want()
    wait_until(lambda: holds(one))
    held = one.generation
    namesake.want()
    time.sleep(1.5 * LIFE)
    assert holds(one)
    assert one.generation == held, "it was never taken away"
    assert not holds(namesake)
    assert namesake.holder == "one"


def test_a_process_that_was_killed_leaves_the_lease_to_the_next_of_its_member(fence: Make):
    one = fence("one")
    one.want()
    wait_until(lambda: holds(one))
    one._worker.end(1.0)  # without a word to the store
    again = fence("one")
    wait_until(lambda: holds(again), LIFE + 1)
    assert again.generation > one.generation


def test_a_standby_knows_who_has_the_lease_and_when_nobody_has(fence: Make):
    one, standby = fence("one"), fence("standby")
    one.want()
    wait_until(lambda: standby.holder == "one")
    assert standby.known == one.generation
    one.give_up()
    wait_until(lambda: standby.holder == "")
    assert one.holder == ""


@pytest.mark.row("HA-13")
def test_a_store_that_has_forgotten_a_lease_gives_none_before_that_one_has_ended(
    fence: Make, silent: Connector, store: Store
):
    one, other = fence("one"), fence("other")
    one.want()
    wait_until(lambda: holds(one) and other.holder == "one")
    other.want()
    one._connect = silent
    store.stop()
    store.start()
    wait_until(lambda: other.generation, LIFE + 2)
    assert not holds(one)
    assert other.generation > one.known
