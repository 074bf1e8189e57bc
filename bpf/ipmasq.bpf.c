/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fast path. It repeats what the engine has decided and decides three things only: have I an
 * entry? is the packet ordinary? can it leave as it is? To any "no" the packet goes on its way
 * into the kernel, whose routing brings it to the engine.
 *
 * Two hooks. TC takes packets of any device and any size, finds next hops and lets the kernel confirm
 * its neighbours. XDP, before it, repeats in turn what TC has found. A third, on the way up, keeps
 * floods from the engine.
 */
#include "checksum.h"
#include "hop.h"
#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "police.h"
#include "rewrite.h"
#include "table.h"

#define TC_ACT_UNSPEC -1
#define TC_ACT_SHOT 2
#define MOST_HEADERS 40 /* IP and TCP, without options */

/* The flow's entry, if the gateway lives and so vouches for it. */
static always_inline enum reason look_up(struct facts *facts, __u32 now, struct half **half)
{
	struct slot *slot = find(&facts->key);

	if (!slot)
		return NO_ENTRY;
	*half = &slot->half;
	if (slot->key.use != REPEATED)
		return ATTENDED;
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
	__u32 now = time_now(), size, place, leaves_by = 0;
	struct device *device;
	__u16 addresses;
	void *data;

	*why = tc_parse(skb, link, side, &facts);
	if (*why)
		return TC_ACT_UNSPEC;
	*why = look_up(&facts, now, &half);
	if (*why)
		return TC_ACT_UNSPEC;
	if (half->epoch != state.epoch) {
		*why = find_hop(skb, half, &facts, &onward, &leaves_by);
		if (*why)
			return TC_ACT_UNSPEC;
	}
	size = skb->gso_size ? facts.headers + skb->gso_size : facts.total;
	if (size > half->mtu) {
		*why = TOO_BIG;
		return TC_ACT_UNSPEC;
	}
	addresses = address_difference(&facts.key.slice, &half->wire);
	*why = correct_checksum(skb, link, &facts, half, addresses);
	if (*why)
		return TC_ACT_UNSPEC;

	data = (void *)(long)skb->data;
	if (data + link + sizeof(struct iphdr) + 8 > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	rewrite_ip(data + link, half, addresses);
	report(half, &facts, now);
	/* Once per epoch by the kernel's neighbour, which thereby notices that it is in use. */
	if (leaves_by)
		return bpf_redirect_neigh(leaves_by, &onward, sizeof(onward), 0);
	place = half->device;
	device = bpf_map_lookup_elem(&devices, &place);
	if (!device)
		return TC_ACT_SHOT;
	if (!link)
		return bpf_redirect_neigh(device->index, 0, 0, 0);
	rewrite_ethernet(data, half, device);
	return bpf_redirect(device->index, 0);
}

static always_inline int xdp_forward(struct xdp_md *xdp, enum side side, enum reason *why)
{
	void *data = (void *)(long)xdp->data, *limit = (void *)(long)xdp->data_end;
	__u32 now = time_now();
	struct facts facts = {};
	struct half *half;
	struct device *device;
	struct iphdr *ip = data + ETH_HLEN;
	__u16 addresses, *checksum;
	__u32 place;

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
	place = half->device;
	device = bpf_map_lookup_elem(&devices, &place);
	if (!device || bpf_redirect_map(&targets, place, XDP_PASS) != XDP_REDIRECT) {
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
	rewrite_ethernet(data, half, device);
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

static always_inline int up(struct __sk_buff *skb, enum side side)
{
	return may_go_up(skb, side) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

SEC("tc") int tc_inside(struct __sk_buff *skb) { return tc(skb, ETH_HLEN, INSIDE); }
SEC("tc") int tc_outside(struct __sk_buff *skb) { return tc(skb, ETH_HLEN, OUTSIDE); }

/* Devices without a link layer (PPP, WireGuard, TUN). */
SEC("tc") int tc_inside_bare(struct __sk_buff *skb) { return tc(skb, 0, INSIDE); }
SEC("tc") int tc_outside_bare(struct __sk_buff *skb) { return tc(skb, 0, OUTSIDE); }

SEC("xdp") int xdp_inside(struct xdp_md *context) { return xdp(context, INSIDE); }
SEC("xdp") int xdp_outside(struct xdp_md *context) { return xdp(context, OUTSIDE); }

/* Where packets leave the kernel for the engine. */
SEC("tc") int up_inside(struct __sk_buff *skb) { return up(skb, INSIDE); }
SEC("tc") int up_outside(struct __sk_buff *skb) { return up(skb, OUTSIDE); }

/* On the far end of a veth pair, which takes redirected packets only if it has a program. */
SEC("xdp") int xdp_pass(void *context) { (void)context; return XDP_PASS; }

char licence[] SEC("license") = "Dual BSD/GPL";
