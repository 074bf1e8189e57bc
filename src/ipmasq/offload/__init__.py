"""Keeps a fast path equal to the engine: listens to its events, and reports back what went by."""
