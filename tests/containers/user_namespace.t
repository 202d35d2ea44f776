#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: kinds=user_namespace
"""A tree in a user namespace of its own comes back with the same ids, inside and outside."""

import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from harness import criu_lite, lines, wait_for_more

NAMESPACES = 0x10000000 | 0x20000000 | 0x20000 | 0x4000000 | 0x8000000 | 0x40000000
INSIDE = r"""
import ctypes, os, socket, sys, time
os.setsid()
libc = ctypes.CDLL(None)
queue = libc.msgget(77, 0o1640)
assert queue >= 0
os.setgroups([5, 6])
a, b = socket.socketpair()
ready = os.pipe()
child = os.fork()
if child == 0:
    os.setresgid(33, 34, 35)
    os.setresuid(33, 34, 34)
    os.write(ready[1], b"x")
    while True:
        time.sleep(1000)
os.read(ready[0], 1)
def of(path, *names):
    lines = dict(line.split(":", 1) for line in open(path))
    return [lines[name].split() for name in names]
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
while True:
    state = [os.getresuid(), os.getresgid(), os.getgroups(), of("/proc/self/status", "CapEff", "CapBnd"),
             of(f"/proc/{child}/status", "Uid", "Gid"), open("/proc/self/uid_map").read().split(),
             a.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12).hex(),
             [line.split()[:5] + line.split()[7:11] for line in open("/proc/sysvipc/msg")][1:]]
    os.write(out, repr(state).encode() + b"\n")
    time.sleep(0.02)
"""


harness.become_subreaper()
check = harness.Checks()
with tempfile.TemporaryDirectory() as scratch:
    os.chmod(scratch, 0o755)
    out, image, pidfile = f"{scratch}/out", f"{scratch}/image", f"{scratch}/pid"
    with open(out, "w"):
        os.chmod(out, 0o666)
    mother = harness.start_in_namespaces(NAMESPACES, INSIDE, out)
    wait_for_more(out, 5)
    pid = harness.children(mother)[0]
    for turn in range(2):
        count = len(lines(out))
        done = criu_lite("checkpoint", "-t", str(pid), "-o", image)
        check(done.returncode == 0, "it is saved", done.stderr)
        harness.reap({})
        done = criu_lite("restore", image, "--detach", "--pidfile", pidfile)
        check(done.returncode == 0, "it comes back", done.stderr)
        after = wait_for_more(out, count + 5)
        check(len(after) >= count + 5 and len(set(after)) == 1, "all ids are as they were",
              after[0], after[-1])
        pid = int(harness.read_text(pidfile) or 0)
        check(not turn or "100000" in (harness.read_text(f"/proc/{pid}/status") or ""),
              "outside, too")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    check.plan()
