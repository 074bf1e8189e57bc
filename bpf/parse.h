/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Decides whether a packet is ordinary: IPv4 without options, not a fragment, time to live left, a
 * whole TCP or UDP header, and no flag that opens or closes a connection.
 */
#ifndef IPMASQ_PARSE_H
#define IPMASQ_PARSE_H

#include "kernel.h"
#include "layout.h"

#define DONT_FRAGMENT 0x4000
#define FIN_SYN_RST_ACK 0x17
#define ACK 0x10

struct tcp {
	__be16 source, destination;
	__be32 sequence, acknowledgment;
	__u8 offset, flags;
	__be16 window, checksum, urgent;
};

struct udp {
	__be16 source, destination, length, checksum;
};

struct facts {
	struct key key;
	__u32 total;   /* bytes from the IP header to the end of the packet */
	__u32 headers; /* bytes of the IP header and the TCP or UDP header */
	__u32 end;
	__u32 acknowledged;
	__u8 tos;
};

/* Keys are read eight bytes at a time. If they were written in smaller parts, the processor
 * would stall until all stores have completed, which is a quarter of the cost of a packet. */
static always_inline void write_key(struct key *key, const __u32 *slice, __u8 protocol,
				    enum side side)
{
	__u64 *words = (void *)key;

	words[0] = *(const __u64 *)slice;
	words[1] = in_memory(slice[2], swap32((__u32)protocol << 24 | side << 16));
}

static always_inline enum reason parse_tcp(struct iphdr *ip, void *limit, struct facts *facts)
{
	struct tcp *tcp = (void *)(ip + 1);
	__u32 length;

	if ((void *)(tcp + 1) > limit)
		return SHORT;
	if ((tcp->flags & FIN_SYN_RST_ACK) != ACK)
		return FLAGS;
	length = (tcp->offset >> 4) * 4;
	facts->headers = sizeof(*ip) + length;
	if (length < sizeof(*tcp) || facts->headers > facts->total)
		return SHORT;
	facts->end = swap32(tcp->sequence) + facts->total - facts->headers;
	facts->acknowledged = swap32(tcp->acknowledgment);
	return FORWARDED;
}

/* `link` is the length of the link-layer header in bytes. */
static always_inline enum reason parse(void *data, void *limit, __u32 link, enum side side,
				       struct facts *facts)
{
	struct iphdr *ip = data + link;
	__u32 length;

	if (data + link + sizeof(*ip) + sizeof(struct udp) > limit)
		return SHORT;
	if (link && ((struct ethhdr *)data)->h_proto != swap16(ETH_P_IP))
		return NOT_IPV4;
	if (*(__u8 *)ip != 0x45)
		return ip->version == 4 ? OPTIONS : NOT_IPV4;
	if (ip->frag_off & ~swap16(DONT_FRAGMENT))
		return FRAGMENT;
	if (ip->ttl <= 1)
		return HOP_LIMIT;
	write_key(&facts->key, (void *)&ip->saddr, ip->protocol, side);
	facts->total = swap16(ip->tot_len);
	facts->tos = ip->tos;
	if (ip->protocol == IPPROTO_TCP)
		return parse_tcp(ip, limit, facts);
	if (ip->protocol != IPPROTO_UDP)
		return PROTOCOL;
	facts->headers = sizeof(*ip) + sizeof(struct udp);
	facts->end = facts->acknowledged = 0;
	length = swap16(((struct udp *)(ip + 1))->length);
	if (length < sizeof(struct udp) || sizeof(*ip) + length > facts->total)
		return SHORT;
	return FORWARDED;
}

#endif
