/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef IPMASQ_MAPS_H
#define IPMASQ_MAPS_H

#include "kernel.h"
#include "layout.h"

/* Two slots per flow, written by the gateway alone, through its memory (table.h). Its size is the
 * gateway's to set. */
struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(map_flags, BPF_F_MMAPABLE);
	number(max_entries, WINDOW + 1);
	kind(key, __u32);
	kind(value, struct slot);
} slots SEC(".maps");

/* Packets left to the engine: [hook][reason], per CPU. Those forwarded are counted in their flows. */
struct {
	number(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	number(max_entries, HOOKS * REASONS);
	kind(key, __u32);
	kind(value, __u64);
} reasons SEC(".maps");

/* What a packet costs: [account], nanoseconds. */
struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(max_entries, ACCOUNTS);
	kind(key, __u32);
	kind(value, __u64);
} costs SEC(".maps");

/* Who has sent how much up to the engine. The one who sent nothing for longest gives way: he loses no
 * more than what he owed. */
struct {
	number(type, BPF_MAP_TYPE_LRU_HASH);
	number(max_entries, 16384);
	kind(key, struct payer);
	kind(value, struct account_state);
} accounts SEC(".maps");

/* Packets dropped because they were not paid for: [side][account], per CPU. */
struct {
	number(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	number(max_entries, SIDES * ACCOUNTS);
	kind(key, __u32);
	kind(value, __u64);
} dropped SEC(".maps");

/* Devices that packets leave by. The gateway names them; their addresses are filled in with hops. */
struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(max_entries, DEVICES);
	kind(key, __u32);
	kind(value, struct device);
} devices SEC(".maps");

/* Those of them that take packets from XDP: to any other a redirect would lose them. */
struct {
	number(type, BPF_MAP_TYPE_DEVMAP);
	number(max_entries, DEVICES);
	kind(key, __u32);
	kind(value, struct bpf_devmap_val);
} targets SEC(".maps");

/* Nobody looks into these two. The kernel ends a write to a map of maps only when every program that was
 * running then has ended: so the gateway learns when a slot has rested. */
struct nothing {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(max_entries, 1);
	kind(key, __u32);
	kind(value, __u32);
} nothing SEC(".maps");

struct {
	number(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	number(max_entries, 1);
	kind(key, __u32);
	typeof(struct nothing) *values[];
} ended SEC(".maps");

volatile struct state state;

static always_inline void add_one(void *map, __u32 at)
{
	__u64 *counter = bpf_map_lookup_elem(map, &at);

	if (counter)
		*counter += 1;
}

static always_inline void count(enum hook hook, enum reason reason)
{
	add_one(&reasons, hook * REASONS + reason);
}

static always_inline void count_dropped(enum side side, enum account account)
{
	add_one(&dropped, side * ACCOUNTS + account);
}

#endif
