"""Metrics of a group of gateways, by share; `share` is empty if the group is not divided. A gateway that is alone has
no samples."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from ipmasq.gateway.availability import Availability
from ipmasq.metrics.made import counter, gauge

ROLES = ("active", "fenced", "waiting", "standby", "lost")


def families(group: Availability | None) -> Iterator[Metric]:
    servings = group.servings if group is not None else ()
    active = {(each.share,): float(each.role == "active") for each in servings}
    yield gauge("ha_active", "Whether this gateway is active.", active, ["share"])
    generations = {(each.share,): each.fence.known for each in servings}
    yield gauge("ha_generation", "The highest generation of the lease.", generations, ["share"])
    records = {(each.share,): len(each.follower.held) for each in servings if each.follower}
    yield gauge("ha_records", "Records that a standby holds.", records, ["share"])
    lags = {(each.share,): each.follower.lag() for each in servings if each.follower}
    text = "Seconds since a standby has last read all that there was."
    yield gauge("ha_replication_lag_seconds", text, lags, ["share"])
    took = {(each.share,): each.taken_over for each in servings}
    yield gauge("ha_takeover_seconds", "How long the latest takeover took.", took, ["share"])
    yield from _counts(group)


def _counts(group: Availability | None) -> Iterator[Metric]:
    servings = group.servings if group is not None else ()
    known = [each.present_role for each in group.members()] if group is not None else []
    members = {(role,): float(known.count(role)) for role in ROLES if group is not None}
    yield gauge("ha_members", "Members of the group by their roles.", members, ["role"])
    usable = {(): float(not group.trouble)} if group is not None else {}
    yield gauge("ha_store_usable", "Whether the store of the group can be used.", usable)
    refused = {(reason,): count for reason, count in group.refused.items()} if group else {}
    yield counter("ha_refused_records", "Records that were refused.", refused, ["reason"])
    held = {(each.share,): each.counts.held for each in servings}
    text = "Packets that waited until the store had confirmed their records."
    yield counter("ha_held_packets", text, held, ["share"])
    late = {(each.share,): each.counts.late for each in servings}
    text = "Packets of these that left before that, since it took too long."
    yield counter("ha_late_packets", text, late, ["share"])
    dropped = {(each.share,): each.counts.dropped for each in servings}
    text = "Batches of records that the store did not take; a snapshot replaces them."
    yield counter("ha_dropped_batches", text, dropped, ["share"])
    silenced = {(): group.silenced} if group is not None else {}
    text = "Packets that were dropped since this gateway may not forward."
    yield counter("ha_silenced_packets", text, silenced)
