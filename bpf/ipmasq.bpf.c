/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fast path. It repeats what the engine has decided and decides three things only: have I an
 * entry? is the packet ordinary? can it leave as it is? To any "no" the packet goes on its way
 * into the kernel, whose routing brings it to the engine.
 *
 * Two hooks. TC takes packets of any device and any size, finds next hops and lets the kernel confirm
 * its neighbours. XDP, before it, repeats in turn what TC has found.
 */
#include "checksum.h"
#include "hop.h"
#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "rewrite.h"

#define TC_ACT_UNSPEC -1
#define TC_ACT_SHOT 2
#define MOST_HEADERS 40 /* IP and TCP, without options */

/* The flow's entry, if the gateway lives and so vouches for it. */
static always_inline enum reason look_up(struct facts *facts, __u32 now, struct half **half)
{
	*half = bpf_map_lookup_elem(&halves, &facts->key);
	if (!*half)
		return NO_ENTRY;
	/* Signed: this clock may be a tick behind the gateway's. */
	return (__s32)(now - state.beat) > LEASE ? SILENT : FORWARDED;
}

static always_inline enum reason correct_checksum(struct __sk_buff *skb, __u32 link,
						  struct facts *facts, const struct half *half,
						  __u16 addresses)
{
	const struct slice *from = &facts->key.slice, *to = &half->wire;
	int udp = facts->key.protocol == IPPROTO_UDP;
	__u32 at = link + sizeof(struct iphdr) + (udp ? 6 : 16);
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
	enum reason why = parse(data, limit, link, side, facts);

	/* The kernel has taken the tag off, and has yet to hand the packet to the VLAN's device. */
	if (skb->vlan_present)
		return NOT_IPV4;
	if (why == SHORT && data + link + MOST_HEADERS > limit &&
	    skb->len >= link + sizeof(struct iphdr) + 8) {
		/* Not all of it lies in one piece. */
		__u32 wanted = link + MOST_HEADERS;

		if (bpf_skb_pull_data(skb, skb->len < wanted ? skb->len : wanted))
			return SHORT;
		data = (void *)(long)skb->data;
		limit = (void *)(long)skb->data_end;
		why = parse(data, limit, link, side, facts);
	}
	if (why == FORWARDED && link + facts->total > skb->len)
		return SHORT;
	return why;
}

static always_inline int tc_forward(struct __sk_buff *skb, __u32 link, enum side side,
				    enum reason *why)
{
	struct bpf_redir_neigh onward = {};
	struct facts facts = {};
	struct half *half;
	__u32 now = time_now(), size;
	__u16 addresses;
	int found = 0;
	void *data;

	*why = tc_parse(skb, link, side, &facts);
	if (*why)
		return TC_ACT_UNSPEC;
	*why = look_up(&facts, now, &half);
	if (*why)
		return TC_ACT_UNSPEC;
	if (half->epoch != state.epoch) {
		*why = find_hop(skb, half, &facts, &onward);
		if (*why)
			return TC_ACT_UNSPEC;
		found = 1;
	}
	size = skb->gso_size ? facts.headers + skb->gso_size : facts.total;
	if (size > half->mtu) {
		*why = TOO_BIG;
		return TC_ACT_UNSPEC;
	}
	/* The helpers that redirect want a link layer's header. Devices without one take it off. */
	if (!link && bpf_skb_change_head(skb, ETH_HLEN, 0)) {
		*why = UNWRITABLE;
		return TC_ACT_UNSPEC;
	}
	addresses = address_difference(&facts.key.slice, &half->wire);
	*why = correct_checksum(skb, ETH_HLEN, &facts, half, addresses);
	if (*why)
		return link ? TC_ACT_UNSPEC : TC_ACT_SHOT;

	data = (void *)(long)skb->data;
	if (data + ETH_HLEN + sizeof(struct iphdr) + 8 > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	if (!link)
		((struct ethhdr *)data)->h_proto = swap16(ETH_P_IP);
	rewrite_ip(data + ETH_HLEN, half, addresses);
	report(half, &facts, now);
	/* Once per epoch by the kernel's neighbour, which thereby notices that it is in use. */
	if (found)
		return bpf_redirect_neigh(half->device, &onward, sizeof(onward), 0);
	rewrite_ethernet(data, half);
	return bpf_redirect(half->device, 0);
}

static always_inline int xdp_forward(struct xdp_md *xdp, enum side side, enum reason *why)
{
	void *data = (void *)(long)xdp->data, *limit = (void *)(long)xdp->data_end;
	__u32 now = time_now();
	struct facts facts = {};
	struct half *half;
	struct iphdr *ip = data + ETH_HLEN;
	__u16 addresses, *checksum;

	*why = parse(data, limit, ETH_HLEN, side, &facts);
	if (!*why && ETH_HLEN + facts.total > limit - data)
		*why = SHORT;
	if (*why)
		return XDP_PASS;
	*why = look_up(&facts, now, &half);
	if (!*why && half->epoch != state.epoch)
		*why = STALE_HOP;
	else if (!*why && facts.total > half->mtu)
		*why = TOO_BIG;
	if (*why)
		return XDP_PASS;
	if (bpf_redirect_map(&targets, half->device, XDP_PASS) != XDP_REDIRECT) {
		*why = NO_TARGET;
		return XDP_PASS;
	}
	if (facts.key.protocol == IPPROTO_TCP) {
		checksum = &((struct tcp *)(ip + 1))->checksum;
		if ((void *)(checksum + 1) > limit)
			return XDP_DROP;
	} else {
		checksum = (__u16 *)(ip + 1) + 3;
		if ((void *)(checksum + 1) > limit)
			return XDP_DROP;
	}
	addresses = address_difference(&facts.key.slice, &half->wire);
	if (facts.key.protocol == IPPROTO_TCP || *checksum) {
		__u16 new = adjust(*checksum, (__u64)addresses + port_difference(&facts.key.slice,
										&half->wire));

		/* UDP's 0 would say that there is none (RFC 768). */
		if (facts.key.protocol == IPPROTO_UDP && !new)
			new = 0xffff;
		*checksum = new;
	}
	rewrite_ip(ip, half, addresses);
	rewrite_ethernet(data, half);
	report(half, &facts, now);
	return XDP_REDIRECT;
}

static always_inline int tc(struct __sk_buff *skb, __u32 link, enum side side)
{
	enum reason why = FORWARDED;
	int verdict = tc_forward(skb, link, side, &why);

	if (why)
		count(TC, why);
	return verdict;
}

static always_inline int xdp(struct xdp_md *context, enum side side)
{
	enum reason why = FORWARDED;
	int verdict = xdp_forward(context, side, &why);

	if (why)
		count(XDP, why);
	return verdict;
}

SEC("tc") int tc_inside(struct __sk_buff *skb) { return tc(skb, ETH_HLEN, INSIDE); }
SEC("tc") int tc_outside(struct __sk_buff *skb) { return tc(skb, ETH_HLEN, OUTSIDE); }

/* Devices without a link layer (PPP, WireGuard, TUN). */
SEC("tc") int tc_inside_bare(struct __sk_buff *skb) { return tc(skb, 0, INSIDE); }
SEC("tc") int tc_outside_bare(struct __sk_buff *skb) { return tc(skb, 0, OUTSIDE); }

SEC("xdp") int xdp_inside(struct xdp_md *context) { return xdp(context, INSIDE); }
SEC("xdp") int xdp_outside(struct xdp_md *context) { return xdp(context, OUTSIDE); }

/* On the far end of a veth pair, which takes redirected packets only if it has a program. */
SEC("xdp") int xdp_pass(void *context) { (void)context; return XDP_PASS; }

char licence[] SEC("license") = "Dual BSD/GPL";
