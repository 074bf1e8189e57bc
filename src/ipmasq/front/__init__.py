"""The command line. Each part speaks the control interface only."""
