"""The log of translations, for who must be able to tell later which inside host had a public endpoint at a given
time (RFC 6888 REQ-12; docs/logging.md)."""
