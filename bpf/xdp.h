/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The XDP hook: the cheapest one, before TC, for whole packets with finished checksums. It uses the
 * next hops that TC has cached and looks up none itself.
 *
 * XDP is not told whether a frame is addressed to this station. The card's filter has seen to that,
 * unless the interface is in promiscuous mode.
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
	enum reason reason;

	if (data + ETH_HLEN <= limit && *(__u8 *)data & 1)
		return NOT_FOR_US; /* a group address */
	reason = parse(data, limit, ETH_HLEN, side, facts);
	if (reason)
		return reason;
	if (ETH_HLEN + facts->total > limit - data)
		return SHORT;
	reason = look_up(facts, now, half);
	if (reason)
		return reason;
	reason = check_hop(*half, xdp->ingress_ifindex);
	if (reason)
		return reason;
	return facts->total > (*half)->mtu ? TOO_BIG : FORWARDED;
}

/* A UDP checksum of 0 means that there is none (RFC 768). Return false if the packet ends before
 * the checksum. */
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

static always_inline int xdp_forward(struct xdp_md *xdp, enum side side, enum reason *reason)
{
	void *data = (void *)(long)xdp->data, *limit = (void *)(long)xdp->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__u64 now = time_now();
	__u32 device_index;
	struct facts facts = {};
	struct device *device;
	struct half *half;
	__u16 addresses;

	*reason = xdp_look_up(xdp, side, now, &facts, &half);
	if (*reason)
		return XDP_PASS;
	device_index = half->device;
	device = bpf_map_lookup_elem(&devices, &device_index);
	if (!device || bpf_redirect_map(&targets, device_index, XDP_PASS) != XDP_REDIRECT) {
		*reason = NO_TARGET;
		return XDP_PASS;
	}
	addresses = address_difference(&facts.key.slice, &half->rewrite);
	if (!xdp_correct_checksum(ip, limit, &facts, half, addresses)) {
		*reason = SHORT; /* It was parsed already; this is for the verifier. */
		return XDP_PASS;
	}
	rewrite_ip(ip, half, addresses);
	rewrite_ethernet(data, half, device);
	report(half, &facts, now);
	return XDP_REDIRECT;
}

static always_inline int xdp(struct xdp_md *context, enum side side)
{
	enum reason reason = FORWARDED;
	int verdict = xdp_forward(context, side, &reason);

	if (reason)
		count(XDP, reason);
	return verdict;
}

#endif
