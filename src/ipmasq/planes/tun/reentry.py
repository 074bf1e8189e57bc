"""Packets for the host itself come in by the outside interface once more.

The engine returns packets that belong to no flow and to the host: for a socket that was opened a moment ago, or
pings to the public address. By the TUN device they would pass the host's input hook under that device's name, and
rules by the name of the outside interface would not apply to them. So they are sent, with a mark, by a TAP device
of their own, where a filter redirects whatever leaves to the ingress of the outside interface (tc-mirred(8)). The
routing rules leave packets with the mark to the host.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from contextlib import ExitStack, suppress

from pyroute2 import IPRoute, protocols
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.side import Side
from ipmasq.planes.tun.device import open_tap
from ipmasq.planes.tun.steering import DEVICE, HANDED_BACK, HOST_DEVICE
from ipmasq.planes.tun.vnet import header_for
from ipmasq.wire.fragment import cut
from ipmasq.wire.packet import Buffer, Packet

log = logging.getLogger("ipmasq")

EGRESS = 0xFFFFFFF3
"""The parent of filters on egress (TC_H_CLSACT, TC_H_MIN_EGRESS of <linux/pkt_sched.h>)."""
EVERYTHING = "0x0/0x0+0"
"""The match of a u32 filter. (Not every kernel has the filter `matchall`.)"""
LONGEST = 65535 - 14
"""The greatest MTU of a TAP device, in bytes."""

# <linux/if_packet.h>, <asm/socket.h>
SOL_PACKET, PACKET_VNET_HDR, SO_MARK = 263, 15, 36

ETHERTYPE = struct.pack("!H", protocols.ETH_P_IP)
ETHERNET = 14
NOBODY = bytes(6)

REMEMBERED = 2048
"""The latest packets that are remembered to detect that one comes back, beside up to as many before them: more than may
be on the way in a burst, in the queues of the processor and of the TUN device (1,000 packets each by default)."""

WITHOUT_MARK = f"a packet for the host itself was dropped: a rule at the prerouting hook removes the mark {HANDED_BACK:#x}"


class ReEntry:
    """Its device lives as long as this object."""

    def __init__(self, kernel: IPRoute, outside: str, lent: int = -1) -> None:
        """`lent` is the `device` of another process's re-entry, which is used as well. Raises PlaneError if another
        program has the device, NetlinkError or OSError if the kernel cannot redirect to the interface `outside`."""
        self._kernel = kernel
        self._outside = 0
        self._header = b""
        self._latest: dict[bytes, int] = {}
        self._earlier: dict[bytes, int] = {}
        """The time to live of packets that were sent, by what else identifies them."""
        with ExitStack() as undo:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            undo.callback(self._socket.close)
            self._socket.setblocking(False)
            self._socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_MARK, HANDED_BACK)
            self.device = lent if lent >= 0 else open_tap(HOST_DEVICE)
            """The descriptor of the device."""
            undo.callback(os.close, self.device)
            self._index = kernel.link_lookup(ifname=HOST_DEVICE)[0]
            if lent < 0:
                kernel.tc("add", "clsact", self._index)
            self.follow(outside)
            kernel.link("set", index=self._index, arp=False, mtu=LONGEST, state="up")
            self._undo = undo.pop_all()

    def follow(self, outside: str) -> None:
        """Redirect to this interface. Raises NetlinkError."""
        index = (*self._kernel.link_lookup(ifname=outside), 0)[0]
        if not index:
            return
        address = self._kernel.get_links(index)[0].get_attr("IFLA_ADDRESS") or ""
        here = bytes.fromhex(address.replace(":", ""))[:6].ljust(6, b"\0")
        self._header = here + NOBODY + ETHERTYPE
        if index != self._outside:
            self._redirect(index)

    def _redirect(self, index: int) -> None:
        with suppress(NetlinkError):  # there is none yet
            self._kernel.tc("del-filter", "u32", self._index, parent=EGRESS, prio=1, target=0)
        redirect = {
            "kind": "mirred",
            "direction": "ingress",
            "action": "redirect",
            "ifindex": index,
        }
        self._kernel.tc(
            "add-filter",
            "u32",
            self._index,
            parent=EGRESS,
            prio=1,
            protocol=protocols.ETH_P_ALL,
            target=0,
            keys=[EVERYTHING],
            action=redirect,
        )
        self._outside = index

    def send(self, packet: Packet) -> None:
        """Let a packet come in. Drop it if it has come back to the engine, since its mark was removed. Raises
        OSError."""
        if self._has_come_back(packet.data):
            log.warning("%s", WITHOUT_MARK)
            return
        # What was put together of fragments may be longer than the device takes.
        for data in [packet.data] if packet.segment else cut(packet.data, LONGEST):
            parts = [header_for(packet, ETHERNET), self._header, data]
            self._socket.sendmsg(parts, (), 0, (HOST_DEVICE, protocols.ETH_P_IP))

    def _has_come_back(self, data: Buffer) -> bool:
        # Identification, protocol, addresses, and the first 8 bytes behind the usual header. On its way back to
        # the engine the kernel decrements the time to live.
        key = bytes(data[4:6]) + bytes(data[9:10]) + bytes(data[12:28])
        if (self._latest.pop(key, 0) or self._earlier.pop(key, 0)) == data[8] + 1:
            return True
        if len(self._latest) == REMEMBERED:
            self._earlier, self._latest = self._latest, {}
        self._latest[key] = data[8]
        return False

    def close(self) -> None:
        self._undo.close()


def open_reentry(kernel: IPRoute, outside: str, lent: int = -1) -> ReEntry | None:
    """Return None if the kernel cannot redirect, and log what follows from that. `lent`: see `ReEntry`."""
    try:
        return ReEntry(kernel, outside, lent)
    except (OSError, NetlinkError) as error:
        log.warning(
            "packets from %s for the host itself pass its input hook as from %s: %s (docs/firewalls.md)",
            outside,
            DEVICE[Side.OUTSIDE],
            error,
        )
        return None
