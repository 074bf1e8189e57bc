"""One file per protocol; each speaks through `ipmasq.core.helper` and nothing else."""
