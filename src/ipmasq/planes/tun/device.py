"""A TUN device that passes packets as large as the kernel has them."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Mapping

from ipmasq.planes.plane import PlaneError

# <linux/if_tun.h>
TUNSETIFF = 0x400454CA
TUNGETIFF = 0x800454D2
TUNSETOFFLOAD = 0x400454D0
IFF_TUN = 0x0001
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
TUN_F_CSUM = 0x01
TUN_F_TSO4 = 0x02
TUN_F_TSO6 = 0x04
TUN_F_USO4 = 0x20
TUN_F_USO6 = 0x40

# The most that this kernel supports: UDP segmentation came with Linux 6.2 (both families or none).
OFFLOADS = (
    TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6,
    TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
)

CLONE = "/dev/net/tun"

TROUBLES = {
    errno.ENOENT: f"there is no {CLONE}; load the kernel's tun module (modprobe tun)",
    errno.ENODEV: f"the kernel has no driver for {CLONE}; load its tun module (modprobe tun)",
    errno.EPERM: "making TUN devices needs root, or the capability CAP_NET_ADMIN",
    errno.EACCES: f"no permission to open {CLONE}; run as root",
}


def open_tun(name: str) -> int:
    """Create the device `name`; it lives as long as the returned descriptor (non-blocking).

    Raises PlaneError.
    """
    return _open(name, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR)


def open_tap(name: str) -> int:
    """Like `open_tun`, with a link layer."""
    return _open(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)


def are_devices(descriptors: Mapping[str, int], names: Iterable[str]) -> bool:
    """Return whether these are the descriptors of devices of these names, which still exist."""
    for name in names:
        request = bytearray(40)
        try:
            fcntl.ioctl(descriptors[name], TUNGETIFF, request)
        except (KeyError, OSError):
            return False
        if request[:16].rstrip(b"\0") != name.encode():
            return False
    return True


def _open(name: str, flags: int) -> int:
    descriptor = -1
    try:
        descriptor = os.open(CLONE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        _offload(descriptor)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        if error.errno == errno.EBUSY:
            raise PlaneError(
                f"another program already has the device {name}; if a gateway was killed, and /run/ipmasq is lost, "
                "that is what keeps it for the grace time (state.grace): try again after that"
            ) from error
        what = TROUBLES.get(error.errno or 0, f"the device {name} cannot be made: {error.strerror}")
        raise PlaneError(what) from error
    return descriptor


def _offload(descriptor: int) -> None:
    for offload in OFFLOADS:
        try:
            fcntl.ioctl(descriptor, TUNSETOFFLOAD, offload)
            return
        except OSError as error:
            if error.errno != errno.EINVAL or offload is OFFLOADS[-1]:
                raise
