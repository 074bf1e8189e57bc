/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Lets packets for the engine pass the host's firewall once, as they would if the kernel translated
 * them: from an inside interface to the outside one or back, with the inside host's own address. With
 * the tun plane's routing alone they pass it twice, to and from a TUN device.
 *
 *   from inside   firewall (inside -> outside), redirected on egress -> engine -> next hop
 *   from outside  -> engine -> re-enters by the outside interface, firewall (outside -> inside)
 *
 * Packets of a flow that was offloaded before (its FIN, for example) pass no firewall, like the offloaded
 * ones: conntrack has not seen the packets in between and would call them invalid.
 *
 * Packets that are not ordinary take the tun plane's way. Each pass that is left out here would have
 * decremented the time to live, so the program decrements it.
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

#define MORE_OR_LATER 0x3fff /* mask of `frag_off`: more fragments follow, or this is not the
			      * first one */
#define SYN 0x02
#define SKIP_NEIGH 4 /* BPF_FIB_LOOKUP_SKIP_NEIGH, Linux 6.3 */

/* Read the headers. Return false if the packet has IP options, a VLAN tag or no time to live
 * left. */
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

/* Exchange source and destination port. */
static always_inline __u32 swapped(__u32 ports)
{
	return ports >> 16 | ports << 16;
}

/* Turn the packet around: it now comes from the destination of `slice`. */
static always_inline void reverse(struct copy *packet, const struct slice *slice)
{
	packet->ip.saddr = slice->destination;
	packet->ip.daddr = slice->source;
	packet->ports = swapped(*(const __u32 *)&slice->source_port);
}

/* Return whether either direction of the packet's flow was offloaded; `packet` comes from
 * `side`. */
static noinline int was_offloaded(struct __sk_buff *skb, __u32 link, struct copy *packet, __u32 side)
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
	reverse(&other, &slot->half.rewrite);
	slot = find_packet(&other, ~side & 1);
	return slot && slot->half.epoch;
}

/* Bytes of the longest IP packet that this becomes on the wire. */
static always_inline __u32 widest(struct __sk_buff *skb, __u32 link, const struct copy *packet)
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

/* Return the ifindex of the device that leads to the packet's source, or 0 if there is no route. */
static noinline __u32 reverse_device(struct __sk_buff *skb, const struct copy *packet, __u32 side)
{
	struct copy other = *packet;
	struct bpf_fib_lookup fib = {};

	reverse(&other, (const void *)&packet->ip.saddr);
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

/* A packet comes in from inside. If it will leave by the outside interface, mark it and let it
 * pass the firewall; but not if it fails the reverse-path check: only the engine and the kernel's own check,
 * on the tun plane's way, recognise a forged source, above all an address of the host's own. */
static always_inline int enter_inside(struct __sk_buff *skb, __u32 link)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet;
	__u32 back;

	if (skb->pkt_type != PACKET_HOST || !read_packet(skb, link, &packet) ||
	    find_way(skb, &packet, state.via[INSIDE], &fib, SKIP_NEIGH))
		return TC_ACT_UNSPEC;
	back = reverse_device(skb, &packet, INSIDE);
	if (was_offloaded(skb, link, &packet, INSIDE) &&
	    widest(skb, link, &packet) <= fib.mtu_result && back == skb->ifindex)
		return to_engine(skb, link, INSIDE);
	if (state.twice || fib.ifindex != state.outside || !back || !is_reverse_path(skb, back))
		return TC_ACT_UNSPEC;
	/* The policer runs here, so that a flood is dropped where it comes in. */
	if (!may_reach_engine(skb, link, INSIDE))
		return TC_ACT_SHOT;
	skb->mark |= ADMITTED;
	return TC_ACT_UNSPEC;
}

/* A packet leaves by the outside interface. If it comes from an inside host, the firewall has
 * admitted it and the engine gets it. If it bears an address of the gateway host, something else
 * has translated it. */
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

/* A packet comes in from outside. Send it to the engine if the routing rules lead there. */
static always_inline int enter_outside(struct __sk_buff *skb, __u32 link)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet;

	if (skb->mark & ADMITTED || skb->pkt_type != PACKET_HOST ||
	    !read_packet(skb, link, &packet) ||
	    find_way(skb, &packet, skb->ifindex, &fib, SKIP_NEIGH) ||
	    fib.ifindex != state.via[OUTSIDE] || widest(skb, link, &packet) > fib.mtu_result ||
	    reverse_device(skb, &packet, OUTSIDE) != skb->ifindex)
		return TC_ACT_UNSPEC;
	if (state.twice && !was_offloaded(skb, link, &packet, OUTSIDE))
		return TC_ACT_UNSPEC;
	/* The policer runs here, where the look-up also finds sockets that are bound to the interface. */
	if (!may_reach_engine(skb, link, OUTSIDE))
		return TC_ACT_SHOT;
	skb->mark |= ADMITTED;
	return to_engine(skb, link, OUTSIDE);
}

/* A packet from the engine, on its way out. */
static always_inline int down_inside(struct __sk_buff *skb)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet, other;

	if (!read_packet(skb, 0, &packet) || find_way(skb, &packet, state.via[INSIDE], &fib, 0) ||
	    widest(skb, 0, &packet) > fib.mtu_result)
		return TC_ACT_UNSPEC;
	if (state.twice || fib.ifindex != state.outside) {
		other = packet;
		reverse(&other, (const void *)&packet.ip.saddr);
		if (!was_offloaded(skb, 0, &other, OUTSIDE))
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

/* A packet from the engine, on its way in. */
static always_inline int down_outside(struct __sk_buff *skb)
{
	struct bpf_fib_lookup fib = {};
	struct copy packet, other;
	long answer;

	if (!read_packet(skb, 0, &packet))
		return TC_ACT_UNSPEC;
	other = packet;
	reverse(&other, (const void *)&packet.ip.saddr);
	answer = find_way(skb, &packet, state.via[OUTSIDE], &fib, 0);
	if (!answer && widest(skb, 0, &packet) <= fib.mtu_result &&
	    was_offloaded(skb, 0, &other, INSIDE))
		return to_next_hop(skb, &fib);
	if (state.twice || reverse_device(skb, &packet, OUTSIDE) != state.outside)
		return TC_ACT_UNSPEC;
	/* It is for the host, whose sockets may be bound to the interface. */
	if (answer == BPF_FIB_LKUP_RET_NOT_FWDED)
		return come_in(skb);
	if ((answer && answer != BPF_FIB_LKUP_RET_NO_NEIGH) || fib.ifindex == state.outside ||
	    device_index_of(fib.ifindex) == DEVICES)
		return TC_ACT_UNSPEC;
	return come_in(skb);
}

#endif
