"""`python -m ipmasq` is `ipmasq`."""

from ipmasq.front.cli import main

main()
