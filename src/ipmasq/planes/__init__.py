"""What moves packets. A plane knows nothing of NAT."""
