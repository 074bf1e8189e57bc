"""`python -m ipmasq` is `ipmasq`."""

from ipmasq.main.cli import main

main()
