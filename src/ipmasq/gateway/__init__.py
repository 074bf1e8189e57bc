"""The running gateway: one loop, one clock, one source of randomness."""
