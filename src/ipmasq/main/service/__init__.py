"""ipmasq as a systemd service: the unit, its user and a first configuration. The Debian package has the same files."""
