"""A helper of ipmasq for the protocol rexec."""
