/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What may go up to the engine. It takes some ten thousand packets per second, a flood has millions:
 * so everybody pays for his own, and what cannot be paid is dropped before it fills the engine's queue.
 *
 *   packets of a flow       by the inside host whose flow it is
 *   others, from inside     by the host that sent them, and then by all hosts together
 *   others, from outside    by all strangers together
 *
 * Known and other packets have accounts of their own: anybody can write another's address into a packet
 * that opens a flow, but hardly that and the ports of a flow that is open.
 *
 * An account is the time until which it is spent (the generic cell rate algorithm): one word, which a
 * race may leave one packet too early.
 */
#ifndef IPMASQ_POLICE_H
#define IPMASQ_POLICE_H

#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "table.h"

#define BURST 250000000 /* ns: a quarter of a second's packets at once */

struct copy {
	__u32 aligns; /* addresses and ports on eight bytes, to be read in words */
	struct iphdr ip;
	__u32 ports;
} __attribute__((aligned(8)));

#define COPIED 24

static always_inline int pay(enum account kind, enum side side, __be32 host, __u64 now)
{
	struct payer payer = { .host = host, .side = side, .kind = kind };
	__u32 at = kind;
	__u64 *price = bpf_map_lookup_elem(&prices, &at), until;
	struct account_state *account = bpf_map_lookup_elem(&accounts, &payer);

	if (!price)
		return 1;
	if (!account) {
		struct account_state fresh = { .spent_until = now + *price };

		bpf_map_update_elem(&accounts, &payer, &fresh, BPF_ANY);
		return 1;
	}
	until = account->spent_until > now ? account->spent_until : now;
	if (until - now > BURST) {
		__sync_fetch_and_add(&account->dropped, 1);
		count_dropped(side, kind);
		return 0;
	}
	account->spent_until = until + *price;
	return 1;
}

/* The inside host whose flow the packet belongs to; 0 if it belongs to none. */
static always_inline __be32 owner(const struct iphdr *ip, enum side side)
{
	struct key key;
	struct slot *slot;

	if (*(__u8 *)ip != 0x45 || ip->frag_off & ~swap16(DONT_FRAGMENT))
		return 0;
	write_key(&key, (const void *)&ip->saddr, ip->protocol, side);
	slot = find(&key);
	if (!slot)
		return 0;
	return side == INSIDE ? ip->saddr : slot->half.wire.destination;
}

static always_inline int may_go_up(struct __sk_buff *skb, enum side side)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct copy packet;
	__be32 host;

	if (bpf_skb_load_bytes(skb, 0, &packet.ip, COPIED))
		return pay(STRANGERS, side, 0, now);
	host = owner(&packet.ip, side);
	if (host)
		return pay(FLOWS, side, host, now);
	if (side == INSIDE && !pay(OPENINGS, side, packet.ip.saddr, now))
		return 0;
	return pay(STRANGERS, side, 0, now);
}

#endif
