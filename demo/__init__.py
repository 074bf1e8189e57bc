"""Real FTP through the gateway, every case, as a table: `python -m demo` (root).

`cells` says what is tried, `stage` sets up the network, the servers and the gateways, `session` is one
client doing its work, `runner` plays the cells, `report` shows what came of it.
"""
