# SPDX-License-Identifier: GPL-2.0-or-later
"""answers.py MIB: answers all who call (callers.py); has so much memory."""

import os
import selectors
import socket
import sys

PORT = 7500


def answer(listener, datagrams):
    poll = selectors.DefaultSelector()
    poll.register(listener, selectors.EVENT_READ)
    poll.register(datagrams, selectors.EVENT_READ)
    while True:
        for key, _ in poll.select():
            if key.fileobj is datagrams:
                text, peer = datagrams.recvfrom(2000)
                datagrams.sendto(text, peer)
            elif key.fileobj is listener:
                poll.register(listener.accept()[0], selectors.EVENT_READ)
            else:
                try:
                    text = key.fileobj.recv(100)
                    if text:
                        key.fileobj.send(text)
                        continue
                except ConnectionError:
                    pass        # who called has gone
                poll.unregister(key.fileobj)
                key.fileobj.close()


memory = bytearray(os.urandom(1 << 20) * int(sys.argv[1]))
listener = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True,
                                backlog=512)
datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
datagrams.bind(("::", PORT))
answer(listener, datagrams)
