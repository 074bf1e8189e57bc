/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The way of packets that go up to the engine, past the host's firewall once: as they would pass it if the
 * kernel translated them, from an inside interface to the outside one or back, with the inside host's own
 * address. The tun plane's routing alone would have them pass it twice, to and from a TUN device.
 *
 *   from inside   firewall (inside -> outside), caught where it would leave -> engine -> next hop
 *   from outside  -> engine -> comes in by the outside interface once more, firewall (outside -> inside)
 *
 * Packets of a flow that was repeated before (its FIN, say) pass no firewall, as those that are repeated:
 * conntrack has not seen what went between, and would take them for invalid.
 *
 * Whatever is out of the ordinary takes the tun plane's way. Each pass that is left out here would
 * have cost a hop, so it does.
 */
#ifndef IPMASQ_ONCE_H
#define IPMASQ_ONCE_H

#include "checksum.h"
#include "hop.h"
#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "policer.h"
#include "rewrite.h"
#include "table.h"
#include "tc.h"

#define MORE_OR_LATER 0x3fff /* of `frag_off`: more fragments follow, or it is not the first */
#define SYN 0x02
#define SKIP_NEIGH 4 /* BPF_FIB_LOOKUP_SKIP_NEIGH, Linux 6.3 */

/* A packet that is not in the way of the ordinary: false. */
static always_inline int read_packet(struct __sk_buff *skb, __u32 link, struct copy *packet)
{
	if (skb->vlan_present || skb->protocol != swap16(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, link, &packet->ip, sizeof(packet->ip)) ||
	    packet->ip.version != 4 || packet->ip.ihl != 5 || packet->ip.ttl <= 1)
		return 0;
	packet->ports = 0;
	if (!(packet->ip.frag_off & swap16(MORE_OR_LATER)) &&
	    (packet->ip.protocol == IPPROTO_TCP || packet->ip.protocol == IPPROTO_UDP))
		bpf_skb_load_bytes(skb, link + sizeof(packet->ip), &packet->ports,
				   sizeof(packet->ports));
	return 1;
}

static always_inline struct slot *find_packet(const struct copy *packet, enum side side)
{
	struct key key;

	write_key(&key, (const void *)&packet->ip.saddr, packet->ip.protocol, side);
	return find(&key);
}

/* Source and destination port change places. */
static always_inline __u32 swapped(__u32 ports)
{
	return ports >> 16 | ports << 16;
}

/* Make it one that comes from where those of `slice` go. */
static always_inline void turn(struct copy *packet, const struct slice *slice)
{
	packet->ip.saddr = slice->destination;
	packet->ip.daddr = slice->source;
	packet->ports = swapped(*(const __u32 *)&slice->source_port);
}

/* Whether packets of its flow were repeated, either way; `packet` comes from `side`. */
static noinline int was_repeated(struct __sk_buff *skb, __u32 link, struct copy *packet, __u32 side)
{
	struct copy other = *packet;
	__u8 flags = 0;
	struct slot *slot;

	if (!packet->ports)
		return 0;
	if (packet->ip.protocol == IPPROTO_TCP &&
	    (bpf_skb_load_bytes(skb, link + sizeof(packet->ip) + 13, &flags, 1) || flags & SYN))
		return 0;
	slot = find_packet(packet, side & 1);
	if (!slot)
		return 0;
	if (slot->half.epoch)
		return 1;
	turn(&other, &slot->half.rewrite);
	slot = find_packet(&other, ~side & 1);
	return slot && slot->half.epoch;
}

/* Of the packet's widest part on the rewrite. */
static always_inline __u32 width(struct __sk_buff *skb, __u32 link, const struct copy *packet)
{
	__u32 headers = sizeof(struct iphdr) + sizeof(struct udp);
	__u8 offset = 0;

	if (!skb->gso_size)
		return skb->len - link;
	if (packet->ip.protocol == IPPROTO_TCP) {
		bpf_skb_load_bytes(skb, link + sizeof(packet->ip) + 12, &offset, 1);
		headers = sizeof(struct iphdr) + (offset >> 4) * 4;
	}
	return headers + skb->gso_size;
}

static noinline long find_way(struct __sk_buff *skb, const struct copy *packet, __u32 device,
			      struct bpf_fib_lookup *fib, __u32 flags)
{
	fib->family = AF_INET;
	fib->l4_protocol = packet->ip.protocol;
	fib->sport = source_port(packet);
	fib->dport = destination_port(packet);
	fib->tot_len = 1;
	fib->tos = packet->ip.tos;
	fib->ipv4_src = packet->ip.saddr;
	fib->ipv4_dst = packet->ip.daddr;
	fib->ifindex = device;
	return bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
}

/* The device that leads to the packet's source, 0 if none does. */
static noinline __u32 way_back(struct __sk_buff *skb, const struct copy *packet, __u32 side)
{
	struct copy other = *packet;
	struct bpf_fib_lookup fib = {};

	turn(&other, (const void *)&packet->ip.saddr);
	if (find_way(skb, &other, state.via[side & 1], &fib, SKIP_NEIGH))
		return 0;
	return fib.ifindex;
}

static always_inline int one_hop_less(struct __sk_buff *skb, __u32 link)
{
	struct iphdr *ip = (void *)(long)skb->data + link;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return 0;
	ip->ttl -= 1;
	ip->check = adjust(ip->check, ONE_HOP_LESS);
	return 1;
}

static always_inline int to_engine(struct __sk_buff *skb, __u32 link, enum side side)
{
	if (!one_hop_less(skb, link))
		return TC_ACT_UNSPEC;
	return bpf_redirect(state.via[side], 0);
}

static always_inline int to_next_hop(struct __sk_buff *skb, const struct bpf_fib_lookup *fib)
{
	struct bpf_redir_neigh onward = { .nh_family = AF_INET, .ipv4_nh = fib->ipv4_dst };
	struct ethhdr *ethernet;

	if (!one_hop_less(skb, 0))
		return TC_ACT_UNSPEC;
	if (bpf_skb_change_head(skb, ETH_HLEN, 0))
		return TC_ACT_SHOT;
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	ethernet->h_proto = swap16(ETH_P_IP);
	return bpf_redirect_neigh(fib->ifindex, &onward, sizeof(onward), 0);
}

/* Comes in from inside: on to the firewall, marked, if it is to leave outside. */
static always_inline int enter_inside(struct __sk_buff *skb, __u32 link)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet;

	if (skb->pkt_type != PACKET_HOST || !read_packet(skb, link, &packet) ||
	    find_way(skb, &packet, state.via[INSIDE], &fib, SKIP_NEIGH))
		return TC_ACT_UNSPEC;
	if (was_repeated(skb, link, &packet, INSIDE) &&
	    width(skb, link, &packet) <= fib.mtu_result &&
	    way_back(skb, &packet, INSIDE) == skb->ifindex)
		return to_engine(skb, link, INSIDE);
	if (state.twice || fib.ifindex != state.outside)
		return TC_ACT_UNSPEC;
	/* It pays here, so that a flood is dropped where it comes in. */
	if (!may_go_up(skb, link, INSIDE))
		return TC_ACT_SHOT;
	skb->mark |= ADMITTED;
	return TC_ACT_UNSPEC;
}

/* Leaves outside: if it is an inside host's, the firewall has let it pass, and it is for the engine. One that
 * bears an address of the host's own was translated by somebody else. */
static always_inline int leave_outside(struct __sk_buff *skb, __u32 link)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet;

	if (!(skb->mark & ADMITTED) || !skb->ingress_ifindex ||
	    skb->ingress_ifindex == state.outside)
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, link, &packet.ip, sizeof(packet.ip)) || packet.ip.version != 4)
		return TC_ACT_UNSPEC;
	packet.ports = 0;
	packet.ip.daddr = packet.ip.saddr;
	if (find_way(skb, &packet, state.via[INSIDE], &fib, SKIP_NEIGH) ==
	    BPF_FIB_LKUP_RET_NOT_FWDED) {
		if (packet.ip.protocol != IPPROTO_ESP && packet.ip.protocol != IPPROTO_AH)
			state.twice = 1;
		return TC_ACT_UNSPEC;
	}
	return bpf_redirect(state.via[INSIDE], 0);
}

/* Comes in from outside: to the engine, if that is where the rules lead. */
static always_inline int enter_outside(struct __sk_buff *skb, __u32 link)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet;

	if (skb->mark & ADMITTED || skb->pkt_type != PACKET_HOST ||
	    !read_packet(skb, link, &packet) ||
	    find_way(skb, &packet, skb->ifindex, &fib, SKIP_NEIGH) ||
	    fib.ifindex != state.via[OUTSIDE] || width(skb, link, &packet) > fib.mtu_result ||
	    way_back(skb, &packet, OUTSIDE) != skb->ifindex)
		return TC_ACT_UNSPEC;
	if (state.twice && !was_repeated(skb, link, &packet, OUTSIDE))
		return TC_ACT_UNSPEC;
	return to_engine(skb, link, OUTSIDE);
}

/* The engine's, on its way out. */
static always_inline int down_inside(struct __sk_buff *skb)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet, other;

	if (!read_packet(skb, 0, &packet) || find_way(skb, &packet, state.via[INSIDE], &fib, 0) ||
	    width(skb, 0, &packet) > fib.mtu_result)
		return TC_ACT_UNSPEC;
	if (state.twice || fib.ifindex != state.outside) {
		other = packet;
		turn(&other, (const void *)&packet.ip.saddr);
		if (!was_repeated(skb, 0, &other, OUTSIDE))
			return TC_ACT_UNSPEC;
	}
	return to_next_hop(skb, &fib);
}

/* Let it come in by the outside interface once more. */
static always_inline int come_in(struct __sk_buff *skb)
{
	struct ethhdr *ethernet;

	if (state.ethernet) {
		if (bpf_skb_change_head(skb, ETH_HLEN, 0))
			return TC_ACT_SHOT;
		ethernet = (void *)(long)skb->data;
		if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
			return TC_ACT_SHOT;
		__builtin_memcpy(ethernet->h_dest, (const void *)state.address, ETH_ALEN);
		__builtin_memset(ethernet->h_source, 0, ETH_ALEN);
		ethernet->h_proto = swap16(ETH_P_IP);
	}
	skb->mark |= ADMITTED;
	return bpf_redirect(state.outside, BPF_F_INGRESS);
}

/* The engine's, on its way in. */
static always_inline int down_outside(struct __sk_buff *skb)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet, other;
	long answer;

	if (!read_packet(skb, 0, &packet))
		return TC_ACT_UNSPEC;
	other = packet;
	turn(&other, (const void *)&packet.ip.saddr);
	answer = find_way(skb, &packet, state.via[OUTSIDE], &fib, 0);
	if (!answer && width(skb, 0, &packet) <= fib.mtu_result &&
	    was_repeated(skb, 0, &other, INSIDE))
		return to_next_hop(skb, &fib);
	if (state.twice || way_back(skb, &packet, OUTSIDE) != state.outside)
		return TC_ACT_UNSPEC;
	/* The host's own: its sockets may be bound to the interface. */
	if (answer == BPF_FIB_LKUP_RET_NOT_FWDED)
		return come_in(skb);
	if ((answer && answer != BPF_FIB_LKUP_RET_NO_NEIGH) || fib.ifindex == state.outside ||
	    device_index_of(fib.ifindex) == DEVICES)
		return TC_ACT_UNSPEC;
	return come_in(skb);
}

#endif
