"""Packet formats: parse and write addresses, headers, checksums and captures. No state, no time."""
