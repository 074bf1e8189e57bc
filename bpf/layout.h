/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel's half of the gateway and the other half (src/ipmasq/planes/ebpf/layout.py) both
 * know. A test compares sizes, offsets and names.
 */
#ifndef IPMASQ_LAYOUT_H
#define IPMASQ_LAYOUT_H

#include <linux/types.h>

/* Source and destination address, source and destination port, as they stand side by side in an
 * IPv4 packet without options (bytes 12 to 24). */
struct slice {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
};

/* What a slot is used for. */
enum use {
	EMPTY,
	QUARANTINED, /* emptied, and not to be used yet */
	TRACKED,     /* the engine has such a flow, and handles its packets itself */
	OFFLOADED,   /* the programs apply what the engine has decided */
};

/* By what a half is found. The last two bytes are a slot's own, and 0 in the key of a packet. */
struct key {
	struct slice slice;
	__u8 protocol;
	__u8 side;  /* where the packet comes in */
	__u8 use;   /* enum use */
	__u8 reach; /* of those at home in this slot, the farthest one stands so many slots behind it */
} __attribute__((aligned(8)));

/* One direction of a flow: what to write, how to send it, and what to report. */
struct half {
	struct slice rewrite;
	/* The way, good while `epoch` is the gateway's: the next hop, and where packets come from. */
	__u8 destination[6];
	__u8 device; /* its index in `devices` */
	/* TCP: a segment is believed within 1 << reach bytes of `end` and `acknowledged`. */
	__u8 reach;
	__u16 mtu;
	/* The low half of the index of the device that these packets may come in by. The gateway puts
	 * programs on no two devices that have it in common. */
	__u16 ingress;
	__u32 epoch;
	/* The report. What is not believed is counted in `traffic` only. */
	__u32 seen;	     /* CLOCK_MONOTONIC in units of 2^20 ns, modulo 2^32 */
	__u64 traffic;	     /* packets << TRAFFIC_SHIFT | bytes: one addition counts both */
	__u32 end;	     /* TCP: how far its speaker has come, as `farther` has it; otherwise 0 */
	__u32 acknowledged;  /* TCP: likewise, of its acknowledgment number; otherwise 0 */
};

/* A slot of the table: one line of the processor's cache, and no more is touched for a packet. IPv6
 * gets a table of its own: its keys would cost IPv4 a second line. */
struct slot {
	struct key key;
	struct half half;
};

#define WINDOW 128 /* slots behind its home that a half may stand in */

/* A device that packets leave by. */
struct device {
	__u32 index; /* 0: none */
	__u8 source[6];
	__u16 zero;
};

#define DEVICES 64

/* Of `skb->mark`: on its way past the firewall, between an inside interface and the outside one. */
#define ADMITTED 0x10000000

#define TIME_SHIFT 20
#define TRAFFIC_SHIFT 38 /* 256 GB and 67 million packets between two looks */

/* What the gateway tells the programs. */
struct state {
	__u64 heartbeat; /* when the gateway was last heard of: CLOCK_MONOTONIC in units of 2^20 ns */
	__u64 seed;   /* Of the hash, */
	__u64 factor; /* secret and odd: nobody can choose flows that are all at home in one slot. */
	__u64 strict; /* bits of indices in `devices`: where the kernel's `rp_filter` is 1 */
	__u32 homes;  /* slots that can be a home; WINDOW more stand behind them */
	__u32 epoch;  /* changes when routes, neighbours or devices have changed; never 0 */
	__u32 via[2]; /* by side: the device by which the engine's packets enter the kernel */
	/* once.h */
	__u32 outside; /* the outside interface */
	__u32 twice;   /* packets pass the host's firewall twice, as without programs */
	__u8 address[6];
	__u16 ethernet; /* whether it has a link layer, and this address there */
};

/* Who pays for a packet that goes up to the engine (policer.h). */
enum account { FLOW, HOST, OPENINGS, UNTRACKED, ACCOUNTS };

struct payer {
	__u32 whose; /* an address (network order); FLOW: a home; UNTRACKED: 0 */
	__u16 side;
	__u16 kind;
};

struct account_state {
	__u64 spent_until; /* CLOCK_MONOTONIC, nanoseconds */
	__u64 dropped;	   /* packets that it could not pay */
};

/* The gateway's silence, in units of 2^20 ns, after which nothing is repeated any more. */
#define HEARTBEAT_TIMEOUT 9536 /* 10 s */

/* Why a program passed a packet on: XDP to TC, and TC to the kernel, which brings it to the engine. */
enum reason {
	FORWARDED,
	NOT_IPV4,
	SHORT,
	OPTIONS,
	FRAGMENT,
	HOP_LIMIT,
	PROTOCOL,
	FLAGS,
	NO_ENTRY,
	HEARTBEAT_LOST,
	NO_ROUTE,
	NO_NEIGHBOUR,
	STALE_HOP,
	NO_TARGET,
	TOO_BIG,
	UNWRITABLE,
	NOT_OFFLOADED,
	NOT_FOR_US,
	REVERSE_PATH,
	REASONS,
};

enum side { INSIDE, OUTSIDE, SIDES };
enum hook { TC, XDP, HOOKS };

#endif
