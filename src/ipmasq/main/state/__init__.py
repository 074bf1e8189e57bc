"""Commands by which people handle what a gateway remembers."""
