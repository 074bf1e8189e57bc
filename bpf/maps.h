/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef IPMASQ_MAPS_H
#define IPMASQ_MAPS_H

#include "kernel.h"
#include "layout.h"

/* Two entries per flow, written and removed by the gateway alone. Never an LRU map: a table that is
 * full refuses. Memory comes with the entries (see docs/adr/0009). The gateway sets its size. */
struct {
	number(type, BPF_MAP_TYPE_HASH);
	number(map_flags, BPF_F_NO_PREALLOC);
	number(max_entries, 2);
	kind(key, struct key);
	kind(value, struct half);
} halves SEC(".maps");

/* Packets left to the engine: [hook][reason], per CPU. Those forwarded are counted in their flows. */
struct {
	number(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	number(max_entries, HOOKS * REASONS);
	kind(key, __u32);
	kind(value, __u64);
} reasons SEC(".maps");

/* Devices that take packets from XDP: to any other a redirect would lose them. */
struct {
	number(type, BPF_MAP_TYPE_DEVMAP_HASH);
	number(max_entries, 256);
	kind(key, __u32);
	kind(value, struct bpf_devmap_val);
} targets SEC(".maps");

volatile struct state state;

static always_inline void count(enum hook hook, enum reason reason)
{
	__u32 at = hook * REASONS + reason;
	__u64 *counter = bpf_map_lookup_elem(&reasons, &at);

	if (counter)
		*counter += 1;
}

#endif
