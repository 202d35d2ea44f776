# SPDX-License-Identifier: GPL-2.0-or-later
"""socket_files.py SCRATCH: holds a Unix and a TCP listener until "go" appears, then answers on both."""

import os
import socket
import sys
import time

scratch = sys.argv[1]
unix = socket.socket(socket.AF_UNIX)
unix.bind(scratch + "/listener")
unix.listen(1)
tcp = socket.socket()
tcp.bind(("127.0.0.1", 0))
tcp.listen(2)
connected = socket.create_connection(tcp.getsockname())
accepted = tcp.accept()[0]
with open(scratch + "/port", "w") as port:
    port.write(str(tcp.getsockname()[1]))
open(scratch + "/ready", "w").close()
while not os.path.exists(scratch + "/go"):
    time.sleep(0.01)
accepted.send(b"hello")
assert connected.recv(5) == b"hello"
for listener in unix, tcp:
    client = socket.socket(listener.family)
    client.connect(listener.getsockname())
    server = listener.accept()[0]
    server.send(b"hello")
    assert client.recv(5) == b"hello"
open(scratch + "/done", "w").close()
