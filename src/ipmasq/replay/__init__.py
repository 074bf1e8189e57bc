"""Runs captures through the engine, offline, to show what the gateway would have done."""
