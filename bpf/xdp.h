/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The hook of fewest nanoseconds, before TC, for whole packets with finished checksums. It repeats in turn
 * what TC has found: it knows of no next hop otherwise.
 *
 * It is not told whether a frame was sent to this station. The card's filter has seen to that, unless the
 * interface is in promiscuous mode.
 */
#ifndef IPMASQ_XDP_H
#define IPMASQ_XDP_H

#include "checksum.h"
#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "rewrite.h"
#include "table.h"

static always_inline enum reason xdp_look_up(struct xdp_md *xdp, enum side side, __u64 now,
					     struct facts *facts, struct half **half)
{
	void *data = (void *)(long)xdp->data, *limit = (void *)(long)xdp->data_end;
	enum reason why;

	if (data + ETH_HLEN <= limit && *(__u8 *)data & 1)
		return NOT_FOR_US; /* a group's address */
	why = parse(data, limit, ETH_HLEN, side, facts);
	if (why)
		return why;
	if (ETH_HLEN + facts->total > limit - data)
		return SHORT;
	why = look_up(facts, now, half);
	if (why)
		return why;
	why = known_way(*half, xdp->ingress_ifindex);
	if (why)
		return why;
	return facts->total > (*half)->mtu ? TOO_BIG : FORWARDED;
}

/* UDP's 0 says that there is none (RFC 768). False if the packet ends before it. */
static always_inline int xdp_correct_checksum(struct iphdr *ip, void *limit, const struct facts *facts,
					      const struct half *half, __u16 addresses)
{
	int udp = facts->key.protocol == IPPROTO_UDP;
	__u16 *checksum = (void *)(ip + 1) + (udp ? 6 : 16);
	__u64 difference = addresses;

	if ((void *)(checksum + 1) > limit)
		return 0;
	if (udp && !*checksum)
		return 1;
	difference += port_difference(&facts->key.slice, &half->rewrite);
	*checksum = adjust(*checksum, difference);
	if (udp && !*checksum)
		*checksum = 0xffff;
	return 1;
}

static always_inline int xdp_forward(struct xdp_md *xdp, enum side side, enum reason *why)
{
	void *data = (void *)(long)xdp->data, *limit = (void *)(long)xdp->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__u64 now = time_now();
	__u32 device_index;
	struct facts facts = {};
	struct device *device;
	struct half *half;
	__u16 addresses;

	*why = xdp_look_up(xdp, side, now, &facts, &half);
	if (*why)
		return XDP_PASS;
	device_index = half->device;
	device = bpf_map_lookup_elem(&devices, &device_index);
	if (!device || bpf_redirect_map(&targets, device_index, XDP_PASS) != XDP_REDIRECT) {
		*why = NO_TARGET;
		return XDP_PASS;
	}
	addresses = address_difference(&facts.key.slice, &half->rewrite);
	if (!xdp_correct_checksum(ip, limit, &facts, half, addresses)) {
		*why = SHORT; /* It was parsed: this is for the verifier. */
		return XDP_PASS;
	}
	rewrite_ip(ip, half, addresses);
	rewrite_ethernet(data, half, device);
	report(half, &facts, now);
	return XDP_REDIRECT;
}

static always_inline int xdp(struct xdp_md *context, enum side side)
{
	enum reason why = FORWARDED;
	int verdict = xdp_forward(context, side, &why);

	if (why)
		count(XDP, why);
	return verdict;
}

#endif
