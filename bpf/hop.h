/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The next hop, from the kernel's own rules, routes and neighbours: the same that it would choose for
 * this packet out of the engine's device; and from the same, whether it came in by the device that leads
 * back to its sender. It is kept with the flow for an epoch, which ends when the
 * gateway hears of a change, and every half minute in any case.
 */
#ifndef IPMASQ_HOP_H
#define IPMASQ_HOP_H

#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"

#define AF_INET 2

/* Its place among the devices; DEVICES if the gateway has not named it. */
static always_inline __u32 place_of(__u32 index, const __u8 *source)
{
	for (__u32 n = 0; n < DEVICES; n++) {
		__u32 place = n;
		struct device *device = bpf_map_lookup_elem(&devices, &place);

		if (device && device->index == index) {
			__builtin_memcpy(device->source, source, ETH_ALEN);
			return n;
		}
	}
	return DEVICES;
}

/* Whether the packet came in by the device that leads back to its sender: what the kernel finds out for
 * itself if its `rp_filter` is 1. Its route's neighbour need not be known. */
static always_inline int came_the_right_way(struct __sk_buff *skb, const struct facts *facts)
{
	const struct slice *from = &facts->key.slice;
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = facts->key.protocol,
		.sport = from->destination_port,
		.dport = from->source_port,
		.tot_len = 1,
		.tos = facts->tos,
		.ipv4_src = from->destination,
		.ipv4_dst = from->source,
		.ifindex = state.via[facts->key.side & 1],
	};
	long answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);

	return (answer == BPF_FIB_LKUP_RET_SUCCESS || answer == BPF_FIB_LKUP_RET_NO_NEIGH) &&
	       fib.ifindex == skb->ifindex;
}

static noinline enum reason find_hop(struct __sk_buff *skb, struct half *half, struct facts *facts,
				     struct bpf_redir_neigh *onward, __u32 *device)
{
	__u32 epoch = state.epoch;
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = facts->key.protocol,
		.sport = half->wire.source_port,
		.dport = half->wire.destination_port,
		.tot_len = 1, /* any but 0, to be told the MTU */
		.tos = facts->tos,
		.ipv4_src = half->wire.source,
		.ipv4_dst = half->wire.destination,
		.ifindex = state.via[facts->key.side & 1],
	};
	long answer;
	__u32 place;

	if (!came_the_right_way(skb, facts))
		return REVERSE_PATH;
	answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (answer == BPF_FIB_LKUP_RET_NO_NEIGH)
		return NO_NEIGHBOUR;
	if (answer != BPF_FIB_LKUP_RET_SUCCESS || fib.family != AF_INET)
		return NO_ROUTE;
	half->mtu = fib.mtu_result;
	place = place_of(fib.ifindex, fib.smac);
	if (place < DEVICES) {
		half->device = place;
		half->ingress = skb->ifindex;
		__builtin_memcpy(half->destination, fib.dmac, ETH_ALEN);
		barrier(); /* Others who see the epoch must see the rest. */
		half->epoch = epoch;
	}
	*device = fib.ifindex;
	onward->nh_family = AF_INET;
	onward->ipv4_nh = fib.ipv4_dst;
	return FORWARDED;
}

#endif
