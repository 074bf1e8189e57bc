"""Protocol helpers, one file each. They use `ipmasq.core.helper` and `ipmasq.wire.addresses` and nothing
else."""
