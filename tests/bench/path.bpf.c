/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the path bench is made of: a generator, a sink, and forwarding that does nothing else.
 *
 * Flow i is between port 1024 + i / 65536 of the near end and 198.18.(i % 65536):9, the far end. Its
 * number stands in the packet too, so that the sink counts a packet only if addresses and ports are
 * those that this very flow must have there.
 */
#include "checksum.h"
#include "kernel.h"

#define FIRST_PORT 1024
#define FAR 0xc612 /* the first half of 198.18.0.0/16 */
#define FAR_PORT 9

struct packet {
	struct ethhdr ethernet;
	__u8 version, tos;
	__be16 total, id, fragment;
	__u8 ttl, protocol;
	__u16 checksum;
	__be16 source[2], destination[2];
	__be16 source_port, destination_port;
	__be32 sequence; /* UDP: length, and no checksum */
	__be32 number;	 /* of the flow; TCP: acknowledgment, as if all were acknowledged */
	__be16 offset_and_flags, window, tcp_checksum, urgent;
	__u16 rest[5];
} __attribute__((packed, aligned(2)));

struct settings {
	__u64 arrived;
	__u64 packet[8]; /* of flow 0, its first 64 bytes */
	__u32 flows, at, step;
	__u32 onward;	 /* device that bare forwarding sends to */
	__be16 near[2];	 /* the near end's address, as the sink must see it */
	__u8 receiver[6];
	__u16 back;	 /* the far end sends */
};

volatile struct settings settings;

/* One for each flow. */
struct line {
	__u64 packets, rest[7];
};

struct {
	number(type, BPF_MAP_TYPE_ARRAY);
	number(max_entries, 1);
	kind(key, __u32);
	kind(value, struct line);
} lines SEC(".maps");

/* Far from the last, lest neighbours in memory have their turns one after the other. */
static always_inline __u32 next_flow(void)
{
	__u32 i = settings.at + settings.step;

	if (i >= settings.flows)
		i -= settings.flows;
	settings.at = i;
	return i;
}

/* All is written each time, since pages come back as the gateway has left them. */
SEC("xdp") int generate(struct xdp_md *xdp)
{
	struct packet *packet = (void *)(long)xdp->data;
	__u64 *words = (void *)packet;
	__u32 i = next_flow(), sum;
	__be16 low = swap16((__u16)i), port = swap16((__u16)(FIRST_PORT + (i >> 16)));

	if ((void *)(packet + 1) > (void *)(long)xdp->data_end)
		return XDP_DROP;
	for (int n = 0; n < 8; n++)
		words[n] = settings.packet[n];
	if (settings.back) {
		packet->source[1] = low;
		packet->destination_port = port;
	} else {
		packet->destination[1] = low;
		packet->source_port = port;
	}
	packet->number = swap32(i);
	packet->checksum = adjust(packet->checksum, low);
	if (packet->protocol == IPPROTO_TCP) {
		packet->sequence = packet->number;
		sum = 2 * ((packet->number & 0xffff) + (packet->number >> 16));
		sum += low + port + (__u16)~swap16(FIRST_PORT);
		packet->tcp_checksum = adjust(packet->tcp_checksum, sum);
	}
	return XDP_TX;
}

SEC("xdp") int sink(struct xdp_md *xdp)
{
	struct packet *packet = (void *)(long)xdp->data;
	__be16 *near, *far, near_port, far_port;
	__u32 i;

	if ((void *)(packet + 1) > (void *)(long)xdp->data_end)
		return XDP_DROP;
	near = settings.back ? packet->destination : packet->source;
	far = settings.back ? packet->source : packet->destination;
	near_port = settings.back ? packet->destination_port : packet->source_port;
	far_port = settings.back ? packet->source_port : packet->destination_port;
	i = swap32(packet->number);
	if (near[0] == settings.near[0] && near[1] == settings.near[1] &&
	    near_port == swap16((__u16)(FIRST_PORT + (i >> 16))) && far[0] == swap16(FAR) &&
	    far[1] == swap16((__u16)i) && far_port == swap16(FAR_PORT))
		settings.arrived += 1;
	return XDP_DROP;
}

static always_inline int readdress(void *data, void *limit)
{
	struct ethhdr *ethernet = data;

	if ((void *)(ethernet + 1) > limit)
		return 1;
	for (int n = 0; n < 6; n++)
		ethernet->h_dest[n] = settings.receiver[n];
	return 0;
}

static always_inline int redirect(struct xdp_md *xdp)
{
	if (readdress((void *)(long)xdp->data, (void *)(long)xdp->data_end))
		return XDP_PASS;
	return bpf_redirect(settings.onward, 0);
}

SEC("xdp") int bare_xdp(struct xdp_md *xdp) { return redirect(xdp); }

/* What anything costs at least that knows one flow from another: a line of memory, read and written. The
 * packet says which. */
SEC("xdp") int line_xdp(struct xdp_md *xdp)
{
	struct packet *packet = (void *)(long)xdp->data;
	struct line *line;
	__u32 i;

	if ((void *)(packet + 1) > (void *)(long)xdp->data_end)
		return XDP_PASS;
	i = swap32(packet->number);
	line = bpf_map_lookup_elem(&lines, &i);
	if (!line)
		return XDP_PASS;
	line->packets += 1;
	return redirect(xdp);
}

SEC("tc") int bare_tc(struct __sk_buff *skb)
{
	if (readdress((void *)(long)skb->data, (void *)(long)skb->data_end))
		return -1;
	return bpf_redirect(settings.onward, 0);
}

/* On egress: what it costs that there is a program at all. */
SEC("tc") int pass_tc(struct __sk_buff *skb) { (void)skb; return -1; }

char licence[] SEC("license") = "Dual BSD/GPL";
