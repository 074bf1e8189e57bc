/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A program of other software, which lets every packet pass. */
#include "kernel.h"

#define TCX_NEXT -1

SEC("tc") int foreign(struct __sk_buff *skb) { (void)skb; return TCX_NEXT; }

char licence[] SEC("license") = "Dual BSD/GPL";
