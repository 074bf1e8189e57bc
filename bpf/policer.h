/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The policer on the way up to the engine. The engine handles some ten thousand packets per second, a
 * flood has millions. Each packet is charged to an account, and packets that exceed the account's rate
 * are dropped before they fill the engine's queue.
 *
 *   packets of a flow       the flow's account if it is TCP, then that of its inside host
 *   others, from inside     that of the sending host, then that of all hosts together
 *   to a socket             of this host, from outside: that of the socket's port
 *   others, from outside    one account for all of them
 *
 * A TCP flow that stays with the engine is a control connection, which sends little, so it may use a
 * part of its host's account only. A host that forges another host's address in packets that open flows
 * can use up what that host has for opening flows and, if it repeats them, what it has for its flows.
 *
 * An account is one word: the theoretical arrival time of the generic cell rate algorithm. A race
 * between CPUs may admit a few packets too many.
 */
#ifndef IPMASQ_POLICER_H
#define IPMASQ_POLICER_H

#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "table.h"

/* The burst: a quarter of a second's packets, but never so many that the engine's queue
 * overflows. */
#define BURST 250000000 /* ns */
#define MOST_AT_ONCE 400

struct copy {
	__u32 aligns; /* aligns addresses and ports to eight bytes, so that they can be read as
		       * words */
	struct iphdr ip;
	__u32 ports; /* source and destination port in network order; 0: none */
} __attribute__((aligned(8)));

static always_inline __be16 source_port(const struct copy *packet)
{
	return ((const __be16 *)&packet->ports)[0];
}

static always_inline __be16 destination_port(const struct copy *packet)
{
	return ((const __be16 *)&packet->ports)[1];
}

static always_inline int pay(enum account kind, enum side side, __u32 whose, __u64 now)
{
	struct payer payer = { .whose = whose, .side = side, .kind = kind };
	__u32 at = kind;
	__u64 *cost = bpf_map_lookup_elem(&costs, &at), until, burst;
	struct account_state *account = bpf_map_lookup_elem(&accounts, &payer);

	if (!cost || !*cost)
		return 1;
	if (!account) {
		struct account_state fresh = { .spent_until = now + *cost };

		bpf_map_update_elem(&accounts, &payer, &fresh, BPF_ANY);
		return 1;
	}
	until = account->spent_until > now ? account->spent_until : now;
	burst = *cost * MOST_AT_ONCE;
	if (until - now > (burst < BURST ? burst : BURST)) {
		__sync_fetch_and_add(&account->dropped, 1);
		count_dropped(side, kind);
		return 0;
	}
	account->spent_until = until + *cost;
	return 1;
}

static always_inline int pay_for_flow(const struct key *key, const struct slot *slot, __u64 now)
{
	enum side side = key->side;
	__be32 host = side == INSIDE ? key->slice.source : slot->half.rewrite.destination;

	/* The home slot distinguishes flows well enough. */
	if (key->protocol == IPPROTO_TCP && !pay(FLOW, side, home((const void *)key), now))
		return 0;
	return pay(HOST, side, host, now);
}

/* Return whether the packet would find a socket of the host, such as a resolver's. The engine
 * decides whether it gets it. */
static always_inline int is_for_a_socket(struct __sk_buff *skb, const struct copy *packet)
{
	struct bpf_sock_tuple tuple = { .ipv4 = {
		.saddr = packet->ip.saddr,
		.daddr = packet->ip.daddr,
		.sport = source_port(packet),
		.dport = destination_port(packet),
	} };
	struct bpf_sock *socket = 0;

	if (packet->ip.protocol == IPPROTO_UDP)
		socket = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else if (packet->ip.protocol == IPPROTO_TCP)
		socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	bpf_sk_release(socket);
	return 1;
}

/* `link` is the length of the link-layer header in bytes. */
static always_inline int may_reach_engine(struct __sk_buff *skb, __u32 link, enum side side)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct slot *slot = 0;
	struct copy packet;
	struct key key;

	if (bpf_skb_load_bytes(skb, link, &packet.ip, sizeof(packet.ip)))
		return pay(UNTRACKED, side, 0, now);
	if (packet.ip.version == 4 && !(packet.ip.frag_off & ~swap16(DONT_FRAGMENT)) &&
	    !bpf_skb_load_bytes(skb, link + packet.ip.ihl * 4, &packet.ports, sizeof(packet.ports))) {
		write_key(&key, (const void *)&packet.ip.saddr, packet.ip.protocol, side);
		slot = find(&key);
		if (slot)
			return pay_for_flow(&key, slot, now);
		if (side == OUTSIDE && is_for_a_socket(skb, &packet))
			return pay(FLOW, side, destination_port(&packet), now);
	}
	if (side == INSIDE && !pay(OPENINGS, side, packet.ip.saddr, now))
		return 0;
	return pay(UNTRACKED, side, 0, now);
}

#endif
