"""Packages as a user installs them, in a clean Debian 12 that systemd runs. `make test-packages`."""
