"""The one loop, the one clock, the one source of chance."""
