"""Planes receive and send packets. A plane knows nothing of NAT."""
