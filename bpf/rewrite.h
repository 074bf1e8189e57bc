/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef IPMASQ_REWRITE_H
#define IPMASQ_REWRITE_H

#include "checksum.h"
#include "kernel.h"
#include "layout.h"
#include "parse.h"

#define LATE 65536U /* bytes */
#define ONE_HOP_LESS ((__u16)~swap16(0x0100)) /* a difference: the time to live is the high byte
					       * of a word */

/* Rewrite the IP header and the ports behind it. */
static always_inline void rewrite_ip(struct iphdr *ip, const struct half *half, __u16 difference)
{
	const __u32 *rewrite = (const void *)&half->rewrite;
	__be32 *words = (void *)ip;

	words[3] = rewrite[0];
	words[4] = rewrite[1];
	words[5] = rewrite[2];
	ip->ttl -= 1;
	ip->check = adjust(ip->check, (__u64)difference + ONE_HOP_LESS);
}

static always_inline void rewrite_ethernet(struct ethhdr *ethernet, const struct half *half,
					   const struct device *device)
{
	__builtin_memcpy(ethernet->h_dest, half->destination, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, device->source, ETH_ALEN);
}

/* With a reach of 1 << ANYWHERE, which is half of all numbers, every number is near. */
static always_inline int is_near(__u32 number, __u32 known, __u32 reach)
{
	return number - known + reach <= 2 * reach - (reach >> ANYWHERE);
}

/* Return whether the segment is in window, judged by the position of its own sender: anybody can
 * forge a segment with the right addresses and ports (RFC 5961). For UDP all numbers are 0, so
 * every datagram is in window. */
static always_inline int is_in_window(const struct half *half, const struct facts *facts)
{
	__u32 reach = 1U << (half->reach & 31);

	return is_near(facts->end, half->end, reach) &&
	       is_near(facts->acknowledged, half->acknowledged, reach);
}

/* Return the later of two sequence numbers. A segment that arrives late or is retransmitted does
 * not move the position back. See `LATE` in src/ipmasq/core/flow.py. */
static always_inline __u32 later(__u32 known, __u32 number)
{
	return known - number <= LATE ? known : number;
}

/* A segment out of window is forwarded and counted, and changes nothing that the engine relies
 * on. */
static always_inline void report(struct half *half, const struct facts *facts, __u64 now)
{
	if (is_in_window(half, facts)) {
		half->seen = now;
		half->end = later(half->end, facts->end);
		half->acknowledged = later(half->acknowledged, facts->acknowledged);
	}
	__sync_fetch_and_add(&half->traffic, (1ULL << TRAFFIC_SHIFT) + facts->total);
}

static always_inline __u64 time_now(void)
{
	return bpf_ktime_get_coarse_ns() >> TIME_SHIFT;
}

#endif
