"""What pyroute2 0.9 keeps for ever: answers for which nobody waits any more.

A single link is asked for with NLM_F_ACK. The reader is content with the link; the acknowledgment that
follows goes into the queue of sequence number 0, from which nobody reads. Each is small, but is cut from a
buffer of 256 kB that it keeps at the top of the heap, so a socket of long life makes the process grow.
"""

from __future__ import annotations

from pyroute2 import IPRoute


def forget_unclaimed(kernel: IPRoute) -> int:
    """Let go of them; returns how many there were."""
    queue = kernel.asyncore.msg_queue.queues[0]
    count = 0
    while not queue.empty():
        queue.get_nowait()
        count += 1
    return count
