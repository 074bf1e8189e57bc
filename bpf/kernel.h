/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The part of the kernel's stable interface that is used here, so that no libbpf headers are needed
 * to compile.
 */
#ifndef IPMASQ_KERNEL_H
#define IPMASQ_KERNEL_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>

#define SEC(name) __attribute__((section(name), used))
#define always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* The compiler moves no memory access across this barrier. */
#define barrier() __asm__ volatile("" ::: "memory")

/* BTF-defined maps (libbpf). */
#define number(name, value) int (*name)[value]
#define kind(name, type) typeof(type) *name

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define swap16(x) __builtin_bswap16(x)
#define swap32(x) __builtin_bswap32(x)
#define in_memory(first, second) ((__u64)(second) << 32 | (first))
#else
#define swap16(x) (x)
#define swap32(x) (x)
#define in_memory(first, second) ((__u64)(first) << 32 | (second))
#endif

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value,
					 __u64 flags) = (void *)2;
static long (*const bpf_l4_csum_replace)(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to,
					 __u64 flags) = (void *)11;
static long (*const bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)23;
static long (*const bpf_skb_load_bytes)(const void *skb, __u32 offset, void *to,
					__u32 length) = (void *)26;
static long (*const bpf_skb_pull_data)(struct __sk_buff *skb, __u32 length) = (void *)39;
static long (*const bpf_skb_change_head)(struct __sk_buff *skb, __u32 length,
					 __u64 flags) = (void *)43;
static long (*const bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)51;
static long (*const bpf_fib_lookup)(void *context, struct bpf_fib_lookup *params, int size,
				    __u32 flags) = (void *)69;
static struct bpf_sock *(*const bpf_sk_lookup_udp)(void *context, struct bpf_sock_tuple *tuple,
						   __u32 size, __u64 netns,
						   __u64 flags) = (void *)85;
static long (*const bpf_sk_release)(void *socket) = (void *)86;
static struct bpf_sock *(*const bpf_skc_lookup_tcp)(void *context, struct bpf_sock_tuple *tuple,
						    __u32 size, __u64 netns,
						    __u64 flags) = (void *)99;
static long (*const bpf_redirect_neigh)(__u32 ifindex, struct bpf_redir_neigh *params, int size,
					__u64 flags) = (void *)152;
static __u64 (*const bpf_ktime_get_coarse_ns)(void) = (void *)160;

#endif
