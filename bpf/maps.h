/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef IPMASQ_MAPS_H
#define IPMASQ_MAPS_H

#include "kernel.h"
#include "layout.h"

/* Two slots per flow, written by the gateway through a memory mapping (table.h), or by a program
 * that it runs (fill.h). The gateway sets the size. */
struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(map_flags, BPF_F_MMAPABLE);
	number(max_entries, WINDOW + 1);
	kind(key, __u32);
	kind(value, struct slot);
} slots SEC(".maps");

/* Packets that were left to the engine: [hook][reason], per CPU. Forwarded packets are counted
 * in their flows. */
struct {
	number(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	number(max_entries, HOOKS * REASONS);
	kind(key, __u32);
	kind(value, __u64);
} reasons SEC(".maps");

/* The cost of a packet: [account], nanoseconds. */
struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(max_entries, ACCOUNTS);
	kind(key, __u32);
	kind(value, __u64);
} costs SEC(".maps");

/* How much each host has sent up to the engine. When the map is full, the entry that was unused
 * for longest is evicted. Its host gains no more than a burst. */
struct {
	number(type, BPF_MAP_TYPE_LRU_HASH);
	number(max_entries, 16384);
	kind(key, struct payer);
	kind(value, struct account_state);
} accounts SEC(".maps");

/* Packets dropped because they exceeded the rate: [side][account], per CPU. */
struct {
	number(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	number(max_entries, SIDES * ACCOUNTS);
	kind(key, __u32);
	kind(value, __u64);
} dropped SEC(".maps");

/* Devices that packets leave by. The gateway enters them; the programs fill in their addresses
 * when they find a next hop. */
struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(max_entries, DEVICES);
	kind(key, __u32);
	kind(value, struct device);
} devices SEC(".maps");

/* Those devices that accept packets redirected by XDP. A redirect to any other device would lose
 * the packet. */
struct {
	number(type, BPF_MAP_TYPE_DEVMAP);
	number(max_entries, DEVICES);
	kind(key, __u32);
	kind(value, struct bpf_devmap_val);
} targets SEC(".maps");

/* For fill.h: rows, the result for each, and the lanes. */
struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(map_flags, BPF_F_MMAPABLE);
	number(max_entries, ROWS);
	kind(key, __u32);
	kind(value, struct row);
} rows SEC(".maps");

struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(map_flags, BPF_F_MMAPABLE);
	number(max_entries, ROWS);
	kind(key, __u32);
	kind(value, struct filled);
} filled SEC(".maps");

struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(map_flags, BPF_F_MMAPABLE);
	number(max_entries, LANES);
	kind(key, __u32);
	kind(value, struct filling);
} filling SEC(".maps");

/* Programs do not read these two maps. A write to a map of maps returns only after every program
 * that was running at the time has ended, which tells the gateway when a quarantined slot may be
 * reused. */
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
