# SPDX-License-Identifier: GPL-2.0-or-later
"""relay.py NUMBER: copies between its standard streams and the socket of that number, as ssh does."""

import os
import socket
import sys
import threading

there = socket.socket(fileno=int(sys.argv[1]))


def outward():
    while True:
        data = os.read(0, 1 << 16)
        if not data:
            break
        there.sendall(data)
    there.shutdown(socket.SHUT_WR)


threading.Thread(target=outward, daemon=True).start()
while True:
    received = there.recv(1 << 16)
    if not received:
        break
    while received:
        received = received[os.write(1, received):]
