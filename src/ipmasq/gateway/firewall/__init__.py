"""The host's own firewall: what it does to packets that the gateway brings through netfilter, and what to add.

The gateway never changes it. Rule sets are read (`reading`), put into one form (`nft`, `iptables`), asked what
becomes of the gateway's packets (`chains`), and the answer is told (`findings`, `watch`).
"""
