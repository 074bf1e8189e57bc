/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The table of halves: an array of slots with linear probing. A half stands in its home slot or,
 * where that was occupied, in one of the slots behind it; the home slot says how far to look. A
 * packet costs one cache miss, where the kernel's own hash map costs two or three.
 *
 * The gateway alone writes keys, itself or by a program that it runs (fill.h), and by one rule:
 * `use` is written after all other fields, and a slot that was emptied is left alone until every
 * program that may still be reading it has ended.
 */
#ifndef IPMASQ_TABLE_H
#define IPMASQ_TABLE_H

#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"

#define WITHOUT_USE_AND_REACH in_memory(0xffffffffU, swap32(0xffff0000U))

#define SCATTER 0x9e3779b97f4a7c15ULL

static always_inline __u32 home(const __u64 *words)
{
	__u64 hash = (words[0] ^ state.seed) * SCATTER;

	hash = ((hash ^ hash >> 32) + words[1]) * state.factor;
	hash = (hash ^ hash >> 32) * SCATTER;
	return (hash >> 32) * state.homes >> 32;
}

static always_inline struct slot *find(const struct key *key)
{
	const __u64 *wanted = (const void *)key, *words;
	__u32 at = home(wanted);
	struct slot *slot = bpf_map_lookup_elem(&slots, &at);
	__u32 left = slot ? slot->key.reach : 0;

	for (int n = 0; n <= WINDOW && slot; n++) {
		words = (const void *)&slot->key;
		if (words[0] == wanted[0] && (words[1] & WITHOUT_USE_AND_REACH) == wanted[1] &&
		    slot->key.use >= TRACKED)
			return slot;
		if (!left--)
			return 0;
		at++;
		slot = bpf_map_lookup_elem(&slots, &at);
	}
	return 0;
}

/* Return FORWARDED if the next hop cached in this half is valid; `device` is where the packet
 * came in. */
static always_inline enum reason check_hop(const struct half *half, __u32 device)
{
	if (half->epoch != state.epoch)
		return STALE_HOP;
	barrier();
	return half->ingress == (__u16)device ? FORWARDED : REVERSE_PATH;
}

/* Find the flow's half. It counts only while the gateway's heartbeat is recent. */
static always_inline enum reason look_up(struct facts *facts, __u64 now, struct half **half)
{
	struct slot *slot = find(&facts->key);

	if (!slot)
		return NO_ENTRY;
	*half = &slot->half;
	if (slot->key.use != OFFLOADED)
		return NOT_OFFLOADED;
	/* Signed, since this clock may be a tick behind the gateway's. */
	return (__s64)(now - state.heartbeat) > state.grace ? HEARTBEAT_LOST : FORWARDED;
}

#endif
