"""What keeps the state of a gateway beyond its process: a store of its own, or one that several gateways share."""
