/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Judges the real programs while the gateway writes in their table. Run again and again on one frame
 * (BPF_PROG_TEST_RUN), each time it judges what the program has made of the last packet, writes that of
 * the next flow in its place, and goes on as the program (a tail call).
 *
 * A packet carries the number of the wire by which it was rewritten as its source port, and must then be
 * as that wire makes it, to the last bit. Times are CLOCK_MONOTONIC, nanoseconds; the gateway's side
 * writes them, so that no packet is too early or too late by the time that writing takes.
 */
#include "kernel.h"

#define TC_ACT_SHOT 2
#define PORT_AT 34

struct frame {
	__u64 words[8];
};

struct flow {
	struct frame sent;
	__u64 since; /* always repeated since then; 0: is not */
};

struct wire {
	struct frame becomes;
	__u64 until; /* may be used until then */
	__u64 flow;
};

struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(map_flags, BPF_F_MMAPABLE);
	number(max_entries, 1);
	kind(key, __u32);
	kind(value, struct flow);
} flows SEC(".maps");

struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(map_flags, BPF_F_MMAPABLE);
	number(max_entries, 1);
	kind(key, __u32);
	kind(value, struct wire);
} wires SEC(".maps");

/* The program that is judged. */
struct {
	number(type, BPF_MAP_TYPE_PROG_ARRAY);
	number(max_entries, 1);
	kind(key, __u32);
	kind(value, __u32);
} judged_xdp SEC(".maps"), judged_tc SEC(".maps");

volatile struct {
	__u64 flows, at;
	__u64 when; /* the last packet was written; 0: there is none */
	__u64 forwarded, left;
	__u64 wrong;  /* as no wire of its flow makes it */
	__u64 late;   /* by a wire that its flow had before */
	__u64 missed; /* left to the engine, though repeated all the time */
} oracle;

static void (*const bpf_tail_call)(void *context, void *map, __u32 at) = (void *)12;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)5;

static always_inline int same(const struct frame *one, const struct frame *other)
{
	__u64 differ = 0;

	for (int n = 0; n < 8; n++)
		differ |= one->words[n] ^ other->words[n];
	return !differ;
}

static always_inline void judge(const struct frame *frame, __u32 at)
{
	__u32 number = swap16(*(__be16 *)((void *)frame + PORT_AT));
	struct flow *flow = bpf_map_lookup_elem(&flows, &at);
	struct wire *wire = bpf_map_lookup_elem(&wires, &number);
	__u64 since;

	if (!flow)
		return;
	since = *(volatile __u64 *)&flow->since;
	if (same(frame, &flow->sent)) {
		oracle.left += 1;
		oracle.missed += since && since < oracle.when;
	} else if (wire && wire->flow == at && same(frame, &wire->becomes)) {
		oracle.forwarded += 1;
		oracle.late += wire->until < oracle.when;
	} else {
		oracle.wrong += 1;
	}
}

/* 0 if it cannot. */
static always_inline int next(void *data, void *limit)
{
	struct frame *frame = data;
	struct flow *flow;
	__u32 at = oracle.at;

	if ((void *)(frame + 1) > limit)
		return 0;
	if (oracle.when)
		judge(frame, at);
	at = at + 1 < oracle.flows ? at + 1 : 0;
	flow = bpf_map_lookup_elem(&flows, &at);
	if (!flow)
		return 0;
	oracle.at = at;
	*frame = flow->sent;
	oracle.when = bpf_ktime_get_ns();
	return 1;
}

SEC("xdp") int judge_xdp(struct xdp_md *xdp)
{
	if (next((void *)(long)xdp->data, (void *)(long)xdp->data_end))
		bpf_tail_call(xdp, &judged_xdp, 0);
	oracle.wrong += 1;
	return XDP_ABORTED;
}

SEC("tc") int judge_tc(struct __sk_buff *skb)
{
	if (next((void *)(long)skb->data, (void *)(long)skb->data_end))
		bpf_tail_call(skb, &judged_tc, 0);
	oracle.wrong += 1;
	return TC_ACT_SHOT;
}

/* The packet of the first flow, for several processors at once: nothing is judged. */
static always_inline int again(void *data, void *limit)
{
	struct frame *frame = data;
	__u32 first = 0;
	struct flow *flow = bpf_map_lookup_elem(&flows, &first);

	if (!flow || (void *)(frame + 1) > limit)
		return 0;
	*frame = flow->sent;
	return 1;
}

SEC("xdp") int again_xdp(struct xdp_md *xdp)
{
	if (again((void *)(long)xdp->data, (void *)(long)xdp->data_end))
		bpf_tail_call(xdp, &judged_xdp, 0);
	return XDP_ABORTED;
}

SEC("tc") int again_tc(struct __sk_buff *skb)
{
	if (again((void *)(long)skb->data, (void *)(long)skb->data_end))
		bpf_tail_call(skb, &judged_tc, 0);
	return TC_ACT_SHOT;
}

char licence[] SEC("license") = "Dual BSD/GPL";
