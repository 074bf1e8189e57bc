"""Attacks on a running gateway with raw packets, each with a verdict. See README.md."""
