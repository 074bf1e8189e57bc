/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Checksums are updated incrementally, never computed anew (RFC 1624), so that a packet that
 * arrived corrupt leaves corrupt. A difference is a 16-bit ones'-complement sum to add. Such sums
 * do not depend on the byte order as long as all of them have the same.
 */
#ifndef IPMASQ_CHECKSUM_H
#define IPMASQ_CHECKSUM_H

#include "kernel.h"
#include "layout.h"

static always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static always_inline __u16 address_difference(const struct slice *from, const struct slice *to)
{
	return fold((__u64)to->source + to->destination + (__u32)~from->source +
		    (__u32)~from->destination);
}

static always_inline __u16 port_difference(const struct slice *from, const struct slice *to)
{
	return fold((__u64)to->source_port + to->destination_port + (__u16)~from->source_port +
		    (__u16)~from->destination_port);
}

static always_inline __u16 adjust(__u16 checksum, __u64 difference)
{
	return ~fold((__u16)~checksum + difference);
}

#endif
