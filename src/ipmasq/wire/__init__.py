"""Bytes <-> facts: addresses, headers, checksums. No state, no time."""
