/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the path bench is made of: a generator, a sink, and forwarding that does nothing else. */
#include "kernel.h"

#define XDP_HEADERS (sizeof(struct ethhdr) + sizeof(struct iphdr) + 8)

struct settings {
	__u64 arrived;
	__u32 flows;
	__u32 at;
	__u32 onward;	/* device that bare forwarding sends to */
	__u32 total;	/* bytes of each IP packet */
	__u8 there[6];	/* MAC addresses of the gateway, and of the sink */
	__u8 sink[6];
	__u32 protocol;
};

volatile struct settings settings;

struct frame {
	__u8 to[6], from[6];
	__be16 kind;
	__u8 version, tos;
	__be16 total, id, fragment;
	__u8 ttl, protocol;
	__u16 check;
	__be16 source[2], destination[2];
	__be16 sport, dport;
	__be32 rest[4]; /* UDP: length and checksum, then payload; TCP: from the sequence number on */
} __attribute__((packed));

/* Flow i: 10.0.0.2:(1024 + i / 65536) to 198.18.(i % 65536):9. All is written each time, since pages
 * come back as the gateway has left them. */
SEC("xdp") int generate(struct xdp_md *xdp)
{
	struct frame *frame = (void *)(long)xdp->data;
	__u32 i = settings.at + 1, sum;

	if ((void *)(frame + 1) > (void *)(long)xdp->data_end)
		return XDP_DROP;
	if (i >= settings.flows)
		i = 0;
	settings.at = i;
	for (int n = 0; n < 6; n++) {
		frame->to[n] = settings.there[n];
		frame->from[n] = 2;
	}
	frame->kind = swap16(0x0800);
	frame->version = 0x45;
	frame->tos = 0;
	frame->total = swap16((__u16)settings.total);
	frame->id = 0;
	frame->fragment = swap16(0x4000);
	frame->ttl = 64;
	frame->protocol = settings.protocol;
	frame->source[0] = swap16(0x0a00);
	frame->source[1] = swap16(2);
	frame->destination[0] = swap16(0xc612);
	frame->destination[1] = swap16((__u16)i);
	frame->sport = swap16((__u16)(1024 + (i >> 16)));
	frame->dport = swap16(9);
	sum = 0x4500 + settings.total + 0x4000 + 0x4000 + settings.protocol + 0x0a00 + 2 + 0xc612 +
	      (i & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	frame->check = swap16((__u16)~sum);
	if (settings.protocol == 17) {
		frame->rest[0] = swap32((settings.total - 20) << 16);
	} else {
		frame->rest[0] = frame->rest[1] = 0;
		frame->rest[2] = swap32(0x5010ffff);
		frame->rest[3] = 0;
	}
	return XDP_TX;
}

SEC("xdp") int sink(struct xdp_md *xdp)
{
	struct frame *frame = (void *)(long)xdp->data;

	if ((void *)(frame + 1) <= (void *)(long)xdp->data_end && frame->dport == swap16(9))
		settings.arrived += 1;
	return XDP_DROP;
}

static always_inline int readdress(void *data, void *limit)
{
	struct ethhdr *ethernet = data;

	if ((void *)(ethernet + 1) > limit)
		return 1;
	for (int n = 0; n < 6; n++)
		ethernet->h_dest[n] = settings.sink[n];
	return 0;
}

SEC("xdp") int bare_xdp(struct xdp_md *xdp)
{
	if (readdress((void *)(long)xdp->data, (void *)(long)xdp->data_end))
		return XDP_PASS;
	return bpf_redirect(settings.onward, 0);
}

SEC("tc") int bare_tc(struct __sk_buff *skb)
{
	if (readdress((void *)(long)skb->data, (void *)(long)skb->data_end))
		return -1;
	return bpf_redirect(settings.onward, 0);
}

char licence[] SEC("license") = "Dual BSD/GPL";
