# SPDX-License-Identifier: GPL-2.0-or-later
"""far.py MS ADDRESS…: moves the host that it runs on far away: each packet of it, and each to it,
takes so much longer. The addresses, with the length of their network, are those of the host. Says
"up", and lasts until standard input ends."""

import fcntl
import heapq
import os
import select
import socket
import struct
import subprocess
import sys
import time

ETH_P_ALL, SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_VNET_HDR = 3, 263, 1, 15
PACKET_IGNORE_OUTGOING, PACKET_MR_PROMISC = 23, 1
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 2, 0x1000, 0x4000


def ip(*lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def open_cable():
    """The cable of the host, of which nobody else hears any more."""
    ip("link set eth0 nomaster", "link del br0")
    cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    for option in PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING:
        cable.setsockopt(SOL_PACKET, option, 1)
    cable.bind(("eth0", ETH_P_ALL))
    cable.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack(
        "=iHH8s", socket.if_nametoindex("eth0"), PACKET_MR_PROMISC, 0, b""))
    return cable.detach()


def open_tap(addresses):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("=16sH22x", b"far", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    ip("link set far up", *(f"address add {address} dev far" + (" nodad" if ":" in address else "")
                            for address in addresses))
    return tap


def main():
    delay = int(sys.argv[1]) / 1000
    cable, tap = open_cable(), open_tap(sys.argv[2:])
    waiting, number = [], 0
    os.write(1, b"up\n")
    while True:
        wait = waiting[0][0] - time.monotonic() if waiting else 1
        for ready in select.select([cable, tap, 0], [], [], max(wait, 0))[0]:
            if not ready:
                return
            try:
                frame = os.read(ready, 1 << 17)
            except OSError:
                continue
            number += 1
            heapq.heappush(waiting, (time.monotonic() + delay, number,
                                     tap if ready == cable else cable, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, way, frame = heapq.heappop(waiting)
            try:
                os.write(way, frame)
            except OSError:
                pass


main()
