/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Fills in flows that another gateway has served, from their rows, for the one that takes over. The
 * gateway writes some rows into a map and has the program run as often (BPF_PROG_TEST_RUN), each
 * time for the next row: Python would take a minute for a million.
 *
 * The halves are entered by the rule of `Slots.insert` (src/ipmasq/planes/ebpf/slots.py). The
 * gateway waits meanwhile, so nobody else writes keys.
 */
#ifndef IPMASQ_FILL_H
#define IPMASQ_FILL_H

#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "table.h"

#define AHEAD 8 /* rows */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define from_little64(x) (x)
#else
#define from_little64(x) __builtin_bswap64(x)
#endif

/* Return the number of the slot; NOWHERE if the key is there already, or there is no room. */
static noinline __u32 enter_half(const struct key *key, const struct half *half, enum use use)
{
	__u32 at = home((const void *)key);
	struct slot *first = bpf_map_lookup_elem(&slots, &at), *slot = first;

	if (!first || find(key))
		return NOWHERE;
	for (__u32 distance = 0; distance <= WINDOW && slot; distance++) {
		if (slot->key.use == EMPTY) {
			slot->half = *half;
			slot->key.slice = key->slice;
			slot->key.protocol = key->protocol;
			slot->key.side = key->side;
			if (first->key.reach < distance)
				first->key.reach = distance;
			barrier();
			slot->key.use = use;
			return at;
		}
		at++;
		slot = bpf_map_lookup_elem(&slots, &at);
	}
	return NOWHERE;
}

/* Write the key of packets that are the answer to what leaves with `answered`. */
static always_inline void write_answer(struct key *key, struct slice answered, __u8 protocol,
				       __u8 side)
{
	struct slice match = {
		.source = answered.destination,
		.destination = answered.source,
		.source_port = answered.destination_port,
		.destination_port = answered.source_port,
	};

	write_key(key, (const void *)&match, protocol, side);
}

/* Ask for the memory of the home slots of some rows, all at once: it takes longer to come than all
 * else. */
static noinline int ask_for_slots(__u32 at)
{
	__u32 homes[2 * AHEAD];
	struct slot *slot;
	struct row *row;
	struct key key;

	for (int n = 0; n < AHEAD; n++, at++) {
		row = bpf_map_lookup_elem(&rows, &at);
		if (!row)
			return 0;
		write_answer(&key, row->back, row->protocol, row->client);
		homes[2 * n] = home((const void *)&key);
		write_answer(&key, row->out, row->protocol, row->server);
		homes[2 * n + 1] = home((const void *)&key);
	}
	for (int n = 0; n < 2 * AHEAD; n++) {
		slot = bpf_map_lookup_elem(&slots, &homes[n]);
		if (slot)
			*(volatile __u8 *)&slot->key.use;
	}
	return 0;
}

static always_inline __u32 fill_half(const struct row *row, const struct key *key,
				     struct slice rewrite, __u64 position, __u64 mark, __u32 seen)
{
	struct half half = {
		.rewrite = rewrite,
		.reach = ANYWHERE,
		.seen = seen,
		.traffic = row->bits & HAS_MARKS ? from_little64(mark) : 0,
		.end = from_little64(position) >> 32,
		.acknowledged = from_little64(position),
	};

	return enter_half(key, &half, row->bits & IS_OFFLOADABLE ? OFFLOADED : TRACKED);
}

static always_inline int fill_in(void)
{
	__u32 zero = 0, at;
	struct filling *present = bpf_map_lookup_elem(&filling, &zero);
	struct filled *result;
	struct row *row;
	struct key key;

	if (!present)
		return 0;
	at = present->next++;
	if (at % AHEAD == 0)
		ask_for_slots(at + AHEAD);
	row = bpf_map_lookup_elem(&rows, &at);
	result = bpf_map_lookup_elem(&filled, &at);
	if (!row || !result)
		return 0;
	result->original = result->reply = NOWHERE;
	if (row->protocol != IPPROTO_TCP && row->protocol != IPPROTO_UDP)
		return 0;
	write_answer(&key, row->back, row->protocol, row->client);
	result->original = fill_half(row, &key, row->out, row->out_position, row->out_mark,
				     present->seen);
	present->slots += result->original != NOWHERE;
	write_answer(&key, row->out, row->protocol, row->server);
	result->reply = fill_half(row, &key, row->back, row->back_position, row->back_mark,
				  present->seen);
	present->slots += result->reply != NOWHERE;
	return 0;
}

#endif
