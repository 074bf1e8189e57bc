"""What a member does as its lease comes and goes, with a real store."""

from __future__ import annotations

import time

import pytest

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.batches import Part, pack
from ipmasq.continuity.feed import Feed
from ipmasq.continuity.follower import Follower
from ipmasq.continuity.server import Address
from ipmasq.continuity.settings import HaSettings
from ipmasq.core.changes import Kind, Record
from ipmasq.gateway.replication import Replication
from ipmasq.gateway.serving import Role, Serving
from tests.continuity.stores import Store, wait_until

KEY = b"a secret of the operator"


class TakenOverError(Exception):
    """Raised where an engine would be made."""


class Flows:
    def __init__(self) -> None:
        self.names: list[object] = []

    def expect(self, serving: Serving, follower: Follower) -> None:
        follower.index()

    def expect_nothing(self, serving: Serving) -> None: ...

    def take_over(self, serving: Serving, follower: Follower) -> Replication:
        self.names = sorted(follower.held.of_gateway())
        raise TakenOverError

    def drop(self, serving: Serving) -> None:
        raise AssertionError("nothing is served here")


@pytest.mark.row("HA-7")
def test_a_member_that_loses_the_lease_before_it_serves_follows_on(store: Store) -> None:
    """As when keepalived takes the role away at once."""
    settings = HaSettings("group", Address.parse(store.url), KEY, "standby")
    flows = Flows()
    serving = Serving(
        "", settings, store.connect, time.monotonic, lambda: None, lambda *_: False, flows
    )
    active = Feed(store.connect, Seal(KEY, "group", "records"), "group", "active", 1, lambda: None)
    serving.start()
    active.start()
    try:
        publish(active, "first")
        for name in ("second", "third"):
            serving.activate()
            wait_until(lambda: bool(serving.fence.generation))
            serving.look()  # it holds the lease, and begins to read the last records
            serving.stand_by()
            wait_until(lambda: not serving.fence.generation)
            serving.look()
            assert serving.role is Role.STANDBY
            publish(active, name)
            wait_until(lambda name=name: name in held(serving))
        serving.activate()
        with pytest.raises(TakenOverError):
            wait_until(lambda: serving.look())
        assert flows.names == ["first", "second", "third"]
    finally:
        active.close()
        serving.stop()


def publish(active: Feed, name: str) -> None:
    active.append(Part.CHANGES, pack(Part.CHANGES, [Record(Kind.GATEWAY, name, 1)]))


def held(serving: Serving) -> dict[str, object]:
    return serving.follower.held.of_gateway() if serving.follower is not None else {}
