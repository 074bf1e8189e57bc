"""Removes messages that pyroute2 0.9 keeps forever although nobody waits for them.

A single link is requested with NLM_F_ACK. The reader takes the link, and the acknowledgment that follows goes
into the queue of sequence number 0, which nobody reads. Each is small, but is cut from a buffer of 256 kB
that it keeps at the top of the heap, so a long-lived socket makes the process grow.
"""

from __future__ import annotations

from pyroute2 import IPRoute


def forget_unclaimed(kernel: IPRoute) -> int:
    """Remove them and return their number."""
    queue = kernel.asyncore.msg_queue.queues[0]
    count = 0
    while not queue.empty():
        queue.get_nowait()
        count += 1
    return count
