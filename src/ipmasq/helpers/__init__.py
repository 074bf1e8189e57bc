"""One file per protocol; each speaks through `ipmasq.core.door` and nothing else."""
