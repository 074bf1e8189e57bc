"""The control interface: requests and answers, the socket they are served on, and a client of it.

`protocol` and `client` need the standard library alone, so that whoever only asks starts fast.
"""
