"""Keeps a fast path consistent with the engine: carries out its commands, and reports the fast path's
counters."""
