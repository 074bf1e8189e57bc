/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The memory layout that the programs share with the gateway (src/ipmasq/planes/ebpf/layout.py). A
 * test compares sizes, offsets and names.
 */
#ifndef IPMASQ_LAYOUT_H
#define IPMASQ_LAYOUT_H

#include <linux/types.h>

/* Source address, destination address, source port and destination port, as they stand side by
 * side in an IPv4 packet without options (bytes 12 to 24). */
struct slice {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
};

/* The state of a slot. */
enum use {
	EMPTY,
	QUARANTINED, /* emptied, but programs may still be reading it, so it must not be reused
		      * yet */
	TRACKED,     /* the engine has this flow and handles its packets itself */
	OFFLOADED,   /* the programs apply the engine's decision */
};

/* The key by which a half is found. The last two bytes belong to the slot and are 0 in the key
 * of a packet. */
struct key {
	struct slice slice;
	__u8 protocol;
	__u8 side;  /* the side where the packet comes in */
	__u8 use;   /* enum use */
	__u8 reach; /* in a home slot: how many slots behind it the farthest half that hashes
		     * here stands */
} __attribute__((aligned(8)));

/* One direction of a flow: what to write, where to send it, and counters to report. */
struct half {
	struct slice rewrite;
	/* The cached next hop and ingress device, valid while `epoch` equals the gateway's. */
	__u8 destination[6];
	__u8 device; /* index in `devices` */
	/* TCP: a segment is in window if it is within 1 << reach bytes of `end` and
	 * `acknowledged`. ANYWHERE: every packet is. */
	__u8 reach;
	__u16 mtu;
	/* The low half of the ifindex of the device by which these packets may come in. The
	 * gateway attaches programs to no two devices that have it in common. */
	__u16 ingress;
	__u32 epoch;
	/* The report. Segments out of window are counted in `traffic` only. */
	__u32 seen;	     /* CLOCK_MONOTONIC in units of 2^20 ns, modulo 2^32 */
	__u64 traffic;	     /* packets << TRAFFIC_SHIFT | bytes, so that one addition counts
			      * both */
	__u32 end;	     /* TCP: the highest sequence number that the sender has reached (see
			      * `later`); otherwise 0 */
	__u32 acknowledged;  /* TCP: likewise the sender's acknowledgment number; otherwise 0 */
};

/* A slot of the table. It is one cache line, and a packet touches no other. IPv6 needs a table
 * of its own, since its keys would cost IPv4 a second cache line. */
struct slot {
	struct key key;
	struct half half;
};

#define WINDOW 128 /* slots behind its home slot in which a half may stand */
#define ANYWHERE 31 /* the reach of a half that was filled from a row (fill.h): its position is too
		     * old to judge by. The programs use only these bits of a reach. */
#define ADOPTED 32 /* one more bit: the engine has taken over the flow, but does not know better */

/* A device that packets leave by. */
struct device {
	__u32 index; /* 0: none */
	__u8 source[6];
	__u16 zero;
};

#define DEVICES 64

/* A bit of `skb->mark`: the packet has been admitted and is passing the firewall between an
 * inside interface and the outside one. */
#define ADMITTED 0x10000000

#define TIME_SHIFT 20
#define TRAFFIC_SHIFT 38 /* 256 GB and 67 million packets between two readings */

/* What the gateway tells the programs. */
struct state {
	__u64 heartbeat; /* time of the gateway's last heartbeat: CLOCK_MONOTONIC in units of
			  * 2^20 ns */
	__u64 seed;   /* Parameters of the hash. */
	__u64 factor; /* secret and odd, so that nobody can choose flows that all hash to one
		       * slot */
	__u32 homes;  /* number of home slots; WINDOW more slots stand behind them */
	__u32 epoch;  /* changes when routes, neighbours or devices have changed; never 0 */
	__u32 via[2]; /* by side: the device by which the engine's packets enter the kernel */
	__u32 grace;  /* time since the last heartbeat, in the same units, after which nothing is
		       * offloaded any more */
	/* For once.h: */
	__u32 outside; /* the outside interface */
	__u64 strict;  /* bits by index in `devices`: devices where the kernel's `rp_filter` is 1 */
	__u32 twice;   /* set if packets pass the host's firewall twice, as on the tun plane */
	__u8 address[6];
	__u16 ethernet; /* whether the outside interface has a link layer, and its address there */
	__u32 zero;
};

/* A plain flow, as it is kept and replicated (src/ipmasq/core/compact.py): packed and little
 * endian. `back` is what leaves for the client, `out` what leaves for the server. */
struct row {
	__u8 protocol;
	__u8 client; /* the side of the client */
	struct slice back;
	__u8 same_protocol;
	__u8 server;
	struct slice out;
	__u8 reach;
	__u8 bits; /* IS_OFFLOADABLE, HAS_MARKS and others */
	__u8 kind;
	__u8 name_length;
	__u8 name[24];
	__u64 ages[3];
	__u64 out_packets, out_bytes, out_position;
	__u64 back_packets, back_bytes, back_position;
	__u64 out_mark, back_mark;
} __attribute__((packed, aligned(2)));

#define IS_OFFLOADABLE 1
#define HAS_MARKS 8
#define ROWS 8192 /* rows that are filled in at a time */
#define LANES 4	  /* parts of them that are filled in side by side */
#define AT_ONCE 8 /* rows that the program fills in when it runs once */

/* The result for a row: the numbers of the slots that were filled, or NOWHERE. */
struct filled {
	__u32 original;
	__u32 reply;
};

#define NOWHERE 0xffffffffU

/* A lane. It is one cache line, so that lanes do not wait for each other. */
struct filling {
	__u32 next;  /* the row that is filled in next */
	__u32 end;   /* the row behind its last one */
	__u32 seen;  /* what the halves report as `seen` */
	__u32 slots; /* how many were filled */
	__u32 zero[12];
};

/* Which account pays for a packet that goes up to the engine (policer.h). */
enum account { FLOW, HOST, OPENINGS, UNTRACKED, ACCOUNTS };

struct payer {
	__u32 whose; /* an address (network order); FLOW: a home slot; UNTRACKED: 0 */
	__u16 side;
	__u16 kind;
};

struct account_state {
	__u64 spent_until; /* CLOCK_MONOTONIC, nanoseconds */
	__u64 dropped;	   /* packets that exceeded the rate */
};

/* Why a program passed a packet on: XDP to TC, and TC to the kernel, which routes it to the
 * engine. */
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
