/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The TC hook, which every device has. It takes packets of any size, also those whose headers are
 * not in linear memory or whose checksums are not finished (CHECKSUM_PARTIAL); the kernel's helpers
 * deal with both.
 *
 * The first packet of a flow in each epoch looks up the next hop and leaves by the kernel's
 * neighbour table, so that the kernel confirms the neighbour. The program itself addresses the
 * frames of the packets after it.
 */
#ifndef IPMASQ_TC_H
#define IPMASQ_TC_H

#include "checksum.h"
#include "hop.h"
#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "rewrite.h"
#include "table.h"

#define TC_ACT_UNSPEC -1
#define TC_ACT_SHOT 2
#define PACKET_HOST 0
#define MOST_HEADERS 40 /* IP and TCP, without options */

static always_inline enum reason correct_checksum(struct __sk_buff *skb, struct facts *facts,
						  const struct half *half, __u16 addresses)
{
	const struct slice *from = &facts->key.slice, *to = &half->rewrite;
	int udp = facts->key.protocol == IPPROTO_UDP;
	__u32 at = ETH_HLEN + sizeof(struct iphdr) + (udp ? 6 : 16);
	__u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;

	if (bpf_l4_csum_replace(skb, at, 0, addresses, flags | BPF_F_PSEUDO_HDR))
		return UNWRITABLE;
	if (from->source_port != to->source_port || from->destination_port != to->destination_port)
		bpf_l4_csum_replace(skb, at, 0, port_difference(from, to), flags);
	return FORWARDED;
}

static always_inline enum reason tc_parse(struct __sk_buff *skb, __u32 link, enum side side,
					  struct facts *facts)
{
	void *data = (void *)(long)skb->data, *limit = (void *)(long)skb->data_end;
	enum reason reason = parse(data, limit, link, side, facts);

	/* The kernel has removed the tag, and has yet to hand the packet to the VLAN device. */
	if (skb->vlan_present)
		return NOT_IPV4;
	if (reason == SHORT && data + link + MOST_HEADERS > limit &&
	    skb->len >= link + sizeof(struct iphdr) + 8) {
		/* The headers are not all in linear memory. */
		__u32 wanted = link + MOST_HEADERS;

		if (bpf_skb_pull_data(skb, skb->len < wanted ? skb->len : wanted))
			return SHORT;
		data = (void *)(long)skb->data;
		limit = (void *)(long)skb->data_end;
		reason = parse(data, limit, link, side, facts);
	}
	if (reason == FORWARDED && link + facts->total > skb->len)
		return SHORT;
	return reason;
}

/* The packet is modified from here on, so a failure loses it. Return false on failure. */
static always_inline int tc_rewrite(struct __sk_buff *skb, __u32 link, const struct half *half,
				    __u16 addresses, const struct device *device)
{
	void *data = (void *)(long)skb->data;

	if (data + ETH_HLEN + sizeof(struct iphdr) + 8 > (void *)(long)skb->data_end)
		return 0;
	if (!link)
		((struct ethhdr *)data)->h_proto = swap16(ETH_P_IP);
	rewrite_ip(data + ETH_HLEN, half, addresses);
	if (device)
		rewrite_ethernet(data, half, device);
	return 1;
}

static always_inline int tc_forward(struct __sk_buff *skb, __u32 link, enum side side,
				    enum reason *reason)
{
	struct bpf_redir_neigh onward = {};
	struct device *device = 0;
	struct facts facts = {};
	struct half *half;
	__u64 now = time_now();
	__u32 size, device_index, leaves_by = 0;
	__u16 addresses;

	*reason = skb->pkt_type == PACKET_HOST ? tc_parse(skb, link, side, &facts) : NOT_FOR_US;
	if (*reason)
		return TC_ACT_UNSPEC;
	*reason = look_up(&facts, now, &half);
	if (*reason)
		return TC_ACT_UNSPEC;
	*reason = check_hop(half, skb->ifindex);
	if (*reason == STALE_HOP)
		*reason = find_hop(skb, half, &facts, &onward, &leaves_by);
	if (*reason)
		return TC_ACT_UNSPEC;
	if (!leaves_by) {
		device_index = half->device;
		device = bpf_map_lookup_elem(&devices, &device_index);
		if (!device) {
			*reason = NO_ROUTE;
			return TC_ACT_UNSPEC;
		}
	}
	size = skb->gso_size ? facts.headers + skb->gso_size : facts.total;
	if (size > half->mtu) {
		*reason = TOO_BIG;
		return TC_ACT_UNSPEC;
	}
	/* The redirect helpers expect a link-layer header. Devices without one remove it again. */
	if (!link && bpf_skb_change_head(skb, ETH_HLEN, 0)) {
		*reason = UNWRITABLE;
		return TC_ACT_UNSPEC;
	}
	addresses = address_difference(&facts.key.slice, &half->rewrite);
	*reason = correct_checksum(skb, &facts, half, addresses);
	if (*reason)
		return link ? TC_ACT_UNSPEC : TC_ACT_SHOT;

	if (!tc_rewrite(skb, link, half, addresses, device)) {
		*reason = UNWRITABLE;
		return TC_ACT_SHOT;
	}
	report(half, &facts, now);
	if (device)
		return bpf_redirect(device->index, 0);
	return bpf_redirect_neigh(leaves_by, &onward, sizeof(onward), 0);
}

static always_inline int tc(struct __sk_buff *skb, __u32 link, enum side side)
{
	enum reason reason = FORWARDED;
	int verdict;

	if (side == OUTSIDE && skb->mark & ADMITTED)
		return TC_ACT_UNSPEC; /* The packet has passed the engine already (once.h). */
	verdict = tc_forward(skb, link, side, &reason);

	if (verdict == TC_ACT_UNSPEC && reason) /* What was lost was left to nobody. */
		count(TC, reason);
	return verdict;
}

#endif
