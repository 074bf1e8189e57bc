"""ipmasq: an IP-masquerading gateway for Linux whose application helpers are plain Python."""
