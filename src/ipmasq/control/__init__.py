"""The control interface: requests and answers, the socket on which they are served, and a client.

`protocol` and `client` need the standard library alone, so that clients start fast.
"""
