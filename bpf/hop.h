/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Finds the next hop in the kernel's routing rules, routes and neighbours: the one that the kernel
 * would choose for this packet if it came out of the engine's device. The same look-ups decide
 * whether the packet passes the reverse-path check of the device by which it came. The result is
 * cached in the flow's half for one epoch. The gateway begins a new epoch when routes, neighbours
 * or devices change, and every 30 seconds in any case.
 */
#ifndef IPMASQ_HOP_H
#define IPMASQ_HOP_H

#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"

#define AF_INET 2

/* Return the index of a device in `devices`, or DEVICES if the gateway has not entered it there. */
static noinline __u32 device_index_of(__u32 index)
{
	for (__u32 n = 0; n < DEVICES; n++) {
		__u32 device_index = n;
		struct device *device = bpf_map_lookup_elem(&devices, &device_index);

		if (device && device->index == index)
			return n;
	}
	return DEVICES;
}

/* Return whether a packet passes the reverse-path check of its ingress device, given the device by which
 * the route to its sender leaves. It does if the two are the same. If not, the kernel drops the packet where
 * `rp_filter` is 1. Elsewhere the packet passes, unless `device` is another of the gateway's own, which is
 * where the sender's own packets come in. */
static always_inline int is_reverse_path(struct __sk_buff *skb, __u32 device)
{
	__u32 device_index;

	if (device == skb->ifindex)
		return 1;
	device_index = device_index_of(skb->ifindex);
	return device_index < DEVICES && !(state.strict >> device_index & 1) &&
	       device_index_of(device) == DEVICES;
}

/* The reverse-path check of a packet. The link-layer address of its sender need not be known. */
static always_inline int passes_reverse_path(struct __sk_buff *skb, const struct facts *facts)
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

	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return 0;
	return is_reverse_path(skb, fib.ifindex);
}

static noinline enum reason find_hop(struct __sk_buff *skb, struct half *half, struct facts *facts,
				     struct bpf_redir_neigh *onward, __u32 *device)
{
	__u32 epoch = state.epoch;
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = facts->key.protocol,
		.sport = half->rewrite.source_port,
		.dport = half->rewrite.destination_port,
		.tot_len = 1, /* any value but 0 makes the kernel return the MTU */
		.tos = facts->tos,
		.ipv4_src = half->rewrite.source,
		.ipv4_dst = half->rewrite.destination,
		.ifindex = state.via[facts->key.side & 1],
	};
	struct device *named;
	long answer;
	__u32 device_index;

	if (!passes_reverse_path(skb, facts))
		return REVERSE_PATH;
	answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (answer == BPF_FIB_LKUP_RET_NO_NEIGH)
		return NO_NEIGHBOUR;
	if (answer != BPF_FIB_LKUP_RET_SUCCESS || fib.family != AF_INET)
		return NO_ROUTE;
	half->mtu = fib.mtu_result;
	device_index = device_index_of(fib.ifindex);
	named = bpf_map_lookup_elem(&devices, &device_index);
	if (named) {
		__builtin_memcpy(named->source, fib.smac, ETH_ALEN);
		half->device = device_index;
		half->ingress = skb->ifindex;
		__builtin_memcpy(half->destination, fib.dmac, ETH_ALEN);
		barrier(); /* A CPU that reads the new epoch must also read the fields above. */
		half->epoch = epoch;
	}
	*device = fib.ifindex;
	onward->nh_family = AF_INET;
	onward->ipv4_nh = fib.ipv4_dst;
	return FORWARDED;
}

#endif
