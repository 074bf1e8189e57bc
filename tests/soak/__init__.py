"""A long mixed load through a gateway, and what must hold afterwards: see README.md."""
