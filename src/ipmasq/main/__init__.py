"""The whole command line: the daemon, commands without a gateway, and commands for a running one."""
