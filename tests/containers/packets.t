#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: kinds=held_packets
"""What arrives for a container while it is saved arrives when it is back, and its neighbours learn
that it is."""

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from harness import lines, wait_for

INSIDE = r"""
import os, socket, sys
memory = bytearray(os.urandom(1 << 20) * 16)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7000))
os.write(out, b"ready\n")
while True:
    text, peer = server.recvfrom(100)
    os.write(out, text + b"\n")
    server.sendto(text, peer)
"""
MAC = "02:00:00:00:00:42"
ETH_P_ARP = 0x806
SO_TIMESTAMPNS = 35


def command(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, timeout=60, capture_output=True,
                          text=True)


def shell(text):
    subprocess.run(text, shell=True, check=True, stdin=subprocess.DEVNULL)


class Listener(threading.Thread):
    """Notes when somebody says of himself that he has the address."""

    def __init__(self, interface, address):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
        # The kernel says when, however late we come to look.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind((interface, ETH_P_ARP))
        self.address = socket.inet_aton(address)
        self.heard = []
        self.start()

    def run(self):
        while True:
            frame, [(_, _, when)], _, _ = self.socket.recvmsg(100, socket.CMSG_SPACE(16))
            seconds, nanoseconds = struct.unpack("qq", when)
            operation, sender, target = frame[21], frame[28:32], frame[38:42]
            if sender == self.address == target:
                self.heard.append((seconds + nanoseconds / 1e9, operation, frame[22:28].hex(":")))


def start(scratch):
    starter = subprocess.Popen(
        ["unshare", "-p", "-f", "--mount-proc", "-n", sys.executable, "-c", INSIDE,
         f"{scratch}/out"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=harness.reset_signals)
    wait_for(lambda: lines(f"{scratch}/out"))
    pid = harness.children(starter.pid)[0]
    shell("ip link add br0 type bridge && ip link set br0 address 02:00:00:00:00:01 up && "
          "ip addr add 10.99.0.1/24 dev br0 && "
          f"ip link add p0 type veth peer name eth0 address {MAC} netns {pid} && "
          "ip link set p0 master br0 up && "
          f"nsenter -t {pid} -n sh -c 'ip link set lo up && ip addr add 10.99.0.2/24 dev eth0 &&"
          " ip link set eth0 up'")
    return starter, pid


def save(pid, image, datagrams, fault=""):
    """A checkpoint through a pipe, during which the client sends these."""
    saver = subprocess.Popen([harness.CRIU_LITE, "checkpoint", "-t", str(pid), "-o", "-"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env={**os.environ, "CRIU_LITE_FAULT": fault})
    with open(image, "wb") as file:
        # It is held while nobody reads on.
        file.write(saver.stdout.read(1 << 20))
        for text in datagrams:
            client.send(text)
        time.sleep(0.1)
        file.write(saver.stdout.read())
    saver.stdout.close()
    saver.wait()
    return saver


harness.become_subreaper()
harness.own(["network"])
check = harness.Checks()
with tempfile.TemporaryDirectory() as scratch:
    out, image, pidfile = f"{scratch}/out", f"{scratch}/image", f"{scratch}/pid"
    starter, pid = start(scratch)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(5)
    client.connect(("10.99.0.2", 7000))
    client.send(b"before")
    check(client.recv(100) == b"before", "the container answers")

    # A checkpoint that fails after all: what came meanwhile is late, not lost.
    saver = save(pid, image, [b"late", b"and later"], fault="seal")
    saver.stderr.close()
    check(saver.returncode != 0 and wait_for(lambda: len(lines(out)) >= 4) and
          lines(out)[2:] == ["late", "and later"] and
          [client.recv(100) for _ in range(2)] == [b"late", b"and later"],
          "what comes during a checkpoint that fails arrives", str(lines(out)))

    saver = save(pid, image, [b"meanwhile", b"and more"])
    check(saver.returncode == 0, "it is saved", saver.stderr.read().decode())
    saver.stderr.close()
    os.kill(pid, signal.SIGKILL)
    starter.wait()
    check(len(lines(out)) == 4, "it has heard nothing more", str(lines(out)))

    listener = Listener("br0", "10.99.0.2")
    done = command(harness.CRIU_LITE, "restore", image, "--detach", "--pidfile", pidfile)
    ended = time.time()
    check(done.returncode == 0, "it comes back", done.stderr)
    check(wait_for(lambda: len(lines(out)) >= 6) and lines(out)[4:] == ["meanwhile", "and more"],
          "what came meanwhile arrives", str(lines(out)))
    client.send(b"after")
    answers = [client.recv(100) for _ in range(3)]
    check(answers == [b"meanwhile", b"and more", b"after"], "and is answered", str(answers))
    check(wait_for(lambda: {(operation, mac) for when, operation, mac in listener.heard
                            if when < ended} == {(1, MAC), (2, MAC)}),
          "its address was announced in both forms", str(listener.heard))
    check(wait_for(lambda: len(listener.heard) >= 8, 20), "and some more times",
          str(listener.heard))
    check(wait_for(lambda: harness.reap({}) or len(harness.children(os.getpid())) == 1, 20),
          "whoever did that is gone", str(harness.children(os.getpid())))
    os.kill(int(harness.read_text(pidfile)), signal.SIGKILL)
    os.wait()
    check.plan()
