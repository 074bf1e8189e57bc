"""The first configuration of a host, from what is found there (`ipmasq setup`)."""
