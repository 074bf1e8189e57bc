"""The host's own firewall: what it does to packets that the gateway brings through netfilter, and which rules
to add.

The gateway never changes it. Rule sets are read (`reading`), converted to one form (`nft`, `iptables`) and
evaluated for the gateway's packets (`chains`), and the result is reported (`findings`, `watch`).
"""
