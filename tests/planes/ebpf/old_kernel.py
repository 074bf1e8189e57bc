"""A kernel before 6.6, which has no links for TC programs."""

from __future__ import annotations

import errno
import os

from ipmasq.planes.ebpf import libbpf

_link = libbpf.link


def link(program: int, device: int, kind: int, flags: int = 0) -> int:
    """What `libbpf.link` does there."""
    if kind in (libbpf.BPF_TCX_INGRESS, libbpf.BPF_TCX_EGRESS):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return _link(program, device, kind, flags)
