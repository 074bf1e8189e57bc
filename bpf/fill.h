/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Fills in flows that another gateway has served, from their rows, for the one that takes over. The
 * gateway writes some rows into a map and has the program run (BPF_PROG_TEST_RUN) again and again,
 * each time for the next few: Python would take a minute for a million. Mostly the program waits
 * for memory, so the rows are divided into lanes, and it runs for all of them at once, each on a
 * processor of its own.
 *
 * The halves are entered by the rule of `Slots.insert` (src/ipmasq/planes/ebpf/slots.py). The
 * gateway waits meanwhile, so only lanes write keys. A lane claims a slot before it writes into it.
 */
#ifndef IPMASQ_FILL_H
#define IPMASQ_FILL_H

#include "kernel.h"
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "table.h"


#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define from_little64(x) (x)
#else
#define from_little64(x) __builtin_bswap64(x)
#endif

/* The end of a key as the one word that can be compared and swapped. */
union tail {
	struct {
		__u8 protocol, side, use, reach;
	};
	__u32 word;
};

#define TRIES 16 /* more than other lanes change a word in between */

static always_inline union tail read_tail(const struct slot *slot)
{
	return (union tail){ .word = *(const volatile __u32 *)&slot->key.protocol };
}

static always_inline int swap_tail(struct slot *slot, union tail old, union tail new)
{
	__u32 *word = (void *)&slot->key.protocol;

	return __sync_val_compare_and_swap(word, old.word, new.word) == old.word;
}

/* Claim an empty slot. Return 0 if it is none, or another lane has changed it meanwhile: the next
 * one is as good. */
static always_inline int claim(struct slot *slot)
{
	union tail old = read_tail(slot), new = old;

	new.use = QUARANTINED;
	return old.use == EMPTY && swap_tail(slot, old, new);
}

/* Let a home slot say that a half stands so far behind it. */
static always_inline int extend_reach(struct slot *first, __u32 distance)
{
	for (int n = 0; n < TRIES; n++) {
		union tail old = read_tail(first), new = old;

		if (old.reach >= distance)
			return 1;
		new.reach = distance;
		if (swap_tail(first, old, new))
			return 1;
	}
	return 0;
}

/* Return the number of the slot; NOWHERE if the key is there already, or there is no room. */
static noinline __u32 enter_half(const struct key *key, const struct half *half, enum use use)
{
	__u32 at = home((const void *)key);
	struct slot *first = bpf_map_lookup_elem(&slots, &at), *slot = first;

	if (!first || find(key))
		return NOWHERE;
	for (__u32 distance = 0; distance <= WINDOW && slot; distance++) {
		if (claim(slot)) {
			if (!extend_reach(first, distance)) {
				slot->key.use = EMPTY;
				return NOWHERE;
			}
			slot->half = *half;
			slot->key.slice = key->slice;
			slot->key.protocol = key->protocol;
			slot->key.side = key->side;
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
	__u32 homes[2 * AT_ONCE];
	struct slot *slot;
	struct row *row;
	struct key key;

	for (int n = 0; n < AT_ONCE; n++, at++) {
		row = bpf_map_lookup_elem(&rows, &at);
		if (!row)
			return 0;
		write_answer(&key, row->back, row->protocol, row->client);
		homes[2 * n] = home((const void *)&key);
		write_answer(&key, row->out, row->protocol, row->server);
		homes[2 * n + 1] = home((const void *)&key);
	}
	for (int n = 0; n < 2 * AT_ONCE; n++) {
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

/* Fill in a row. The verifier looks at a function that is not static once, and not at each call. */
noinline int fill_row(struct filling *lane, __u32 at)
{
	struct row *row = bpf_map_lookup_elem(&rows, &at);
	struct filled *result = bpf_map_lookup_elem(&filled, &at);
	struct key key;

	if (!lane || !row || !result)
		return 0;
	result->original = result->reply = NOWHERE;
	if (row->protocol != IPPROTO_TCP && row->protocol != IPPROTO_UDP)
		return 0;
	write_answer(&key, row->back, row->protocol, row->client);
	result->original = fill_half(row, &key, row->out, row->out_position, row->out_mark,
				     lane->seen);
	lane->slots += result->original != NOWHERE;
	write_answer(&key, row->out, row->protocol, row->server);
	result->reply = fill_half(row, &key, row->back, row->back_position, row->back_mark,
				  lane->seen);
	lane->slots += result->reply != NOWHERE;
	return 0;
}

/* Fill in the next rows of a lane, whose number is the first byte of the packet. */
static always_inline int fill_in(struct __sk_buff *skb)
{
	const __u8 *first = (void *)(long)skb->data;
	struct filling *lane;
	__u32 number;

	if ((void *)(first + 1) > (void *)(long)skb->data_end)
		return 0;
	number = *first;
	lane = bpf_map_lookup_elem(&filling, &number);
	if (!lane)
		return 0;
	ask_for_slots(lane->next + AT_ONCE);
	for (int n = 0; n < AT_ONCE && lane->next < lane->end; n++)
		fill_row(lane, lane->next++);
	return 0;
}

#endif
