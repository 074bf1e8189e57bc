/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fast path. It applies the engine's decisions and checks three things only: whether it has an
 * entry for the packet, whether the packet is ordinary, and whether it can leave unchanged
 * otherwise. If one of them is not so, the packet goes on into the kernel, whose routing brings it
 * to the engine.
 *
 * There are two hooks for forwarding. TC takes packets of any device and any size, finds next hops
 * and lets the kernel confirm its neighbours. XDP runs before it and uses what TC has found. A
 * third hook, on the way up to the engine, polices floods.
 */
#include "fill.h"
#include "kernel.h"
#include "layout.h"
#include "once.h"
#include "policer.h"
#include "tc.h"
#include "xdp.h"

static always_inline int up(struct __sk_buff *skb, enum side side)
{
	if (skb->mark & ADMITTED)
		return TC_ACT_UNSPEC; /* The packet was policed where it came in (once.h). */
	return may_reach_engine(skb, 0, side) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
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

/* Programs that let packets pass the host's firewall once (once.h). */
SEC("tc") int enter_inside_ethernet(struct __sk_buff *skb) { return enter_inside(skb, ETH_HLEN); }
SEC("tc") int enter_inside_bare(struct __sk_buff *skb) { return enter_inside(skb, 0); }
SEC("tc") int enter_outside_ethernet(struct __sk_buff *skb) { return enter_outside(skb, ETH_HLEN); }
SEC("tc") int enter_outside_bare(struct __sk_buff *skb) { return enter_outside(skb, 0); }
SEC("tc") int leave_outside_ethernet(struct __sk_buff *skb) { return leave_outside(skb, ETH_HLEN); }
SEC("tc") int leave_outside_bare(struct __sk_buff *skb) { return leave_outside(skb, 0); }
SEC("tc") int down_from_inside(struct __sk_buff *skb) { return down_inside(skb); }
SEC("tc") int down_from_outside(struct __sk_buff *skb) { return down_outside(skb); }

/* Attached nowhere: the gateway runs it (fill.h). */
SEC("tc") int fill(struct __sk_buff *skb) { return fill_in(skb); }

/* For the far end of a veth pair, which accepts redirected frames only if it has a program. */
SEC("xdp") int xdp_pass(void *context) { (void)context; return XDP_PASS; }

char licence[] SEC("license") = "Dual BSD/GPL";
