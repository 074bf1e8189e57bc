"""The command line put together: the daemon, what needs none, and the commands that ask a running one."""
