"""What it costs: `make bench`. Nothing here is collected by pytest."""
