#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: kinds=namespaces,uts_namespace,clocks,ipc_namespace
"""A tree in namespaces of its own comes back in such: ids, host name, limits, clocks."""

import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from harness import criu_lite, lines, wait_for, wait_for_more

INSIDE = r"""
import os, socket, sys, time
socket.sethostname("inside")
open("/proc/sys/kernel/shmmni", "w").write("77")
open("/proc/sys/fs/mqueue/msg_max", "w").write("13")
os.setsid() if os.getsid(0) != os.getpid() else None
child = os.fork()
if child == 0:
    while True:
        time.sleep(1000)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
last, forward = (0, 0), True
while True:
    # How far they are behind the real clock: at least, and at most.
    early = time.time()
    now = time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_BOOTTIME)
    late = time.time()
    forward = forward and all(new >= old for new, old in zip(now, last))
    last = now
    behind = " ".join(f"{real - clock:.6f}" for real in (early, late) for clock in now)
    fresh = os.fork()
    if fresh == 0:
        os._exit(0)
    os.waitpid(fresh, 0)
    os.write(out, f"{os.getpid()} {child} {os.getppid()} {socket.gethostname()} "
             f"{open('/proc/sys/kernel/shmmni').read().strip()} "
             f"{open('/proc/sys/fs/mqueue/msg_max').read().strip()} "
             f"{len(os.listdir('/proc/self/task'))} {forward} {fresh} {behind}\n".encode())
    time.sleep(0.02)
"""


GAP = 0.3	# seconds for which it is not there, at least


def nobody_left():
    """Whoever was killed, or cleans up, may take a moment to end."""
    harness.reap({})
    return not harness.children(os.getpid())


def first_of(pid):
    return harness.children(pid)[0]


harness.become_subreaper()
check = harness.Checks()
with tempfile.TemporaryDirectory() as scratch:
    out, image, pidfile = f"{scratch}/out", f"{scratch}/image", f"{scratch}/pid"
    starter = subprocess.Popen(
        ["unshare", "-p", "-f", "--mount-proc", "-u", "-i", "-n", "-C", sys.executable, "-c",
         INSIDE, out], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=harness.reset_signals)
    before = wait_for_more(out, 5)
    pid = first_of(starter.pid)
    namespaces = {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in ("pid", "net", "mnt")}

    done = criu_lite("checkpoint", "-t", str(pid), "-o", image, "--leave-running")
    count = len(lines(out))
    check(done.returncode == 0 and len(wait_for_more(out, count + 5)) >= count + 5,
          "it runs on after --leave-running", done.stderr)
    check(wait_for(lambda: "criu-lite" not in " ".join(
        harness.read_text(f"/proc/{member}/comm") or "" for member in harness.tree(pid))),
          "nothing stays behind in its namespaces")
    for fault in ("state", "pages:after", "ask:kill", "seal:kill"):
        done = criu_lite("checkpoint", "-t", str(pid), "-o", image, fault=fault)
        count = len(lines(out))
        check(done.returncode != 0 and len(wait_for_more(out, count + 5)) >= count + 5,
              f"it runs on after a failure ({fault})", done.stderr)
    done = criu_lite("checkpoint", "-t", str(pid), "-o", image, "--leave-stopped")
    states = [harness.read_text(f"/proc/{member}/stat").rpartition(")")[2].split()[0]
              for member in harness.tree(pid)]
    # One that it has forked may have ended, and wait for it.
    check(done.returncode == 0 and states.count("T") >= 2 and set(states) <= {"T", "Z"},
          "it stays stopped after --leave-stopped",
          f"{done.stderr} {states}")
    for member in harness.tree(pid):
        os.kill(member, signal.SIGCONT)
    count = len(lines(out))
    check(len(wait_for_more(out, count + 5)) >= count + 5, "and goes on when it is told to")
    done = criu_lite("checkpoint", "-t", str(pid), "-o", image)
    saved = time.time()
    starter.wait()
    check(done.returncode == 0 and not os.path.exists(f"/proc/{pid}"), "a checkpoint ends it",
          done.stderr)

    for fault in ("build", "puppets", "state:after", "registers", "puppets:after:kill", "finish"):
        done = criu_lite("restore", image, "--detach", fault=fault)
        check(done.returncode != 0 and wait_for(nobody_left),
              f"nothing is left of a restore that fails ({fault})",
              done.stderr + str(harness.children(os.getpid())))
    for turn in range(3):
        count = len(lines(out))
        time.sleep(GAP)
        gap = time.time() - saved
        done = criu_lite("restore", image, "--detach", "--pidfile", pidfile)
        check(done.returncode == 0, "it comes back", done.stderr)
        after = wait_for_more(out, count + 5)
        pid = int(harness.read_text(pidfile))
        words = [line.split() for line in after]
        check(len({tuple(line[:8]) for line in words}) == 1 and words[0][3] == "inside" and
              words[0][4:8] == ["77", "13", "1", "True"],
              "ids, host name, limits and clocks are as they were", str(words[-1]))
        # They have stood still at least from the end of the checkpoint on.
        least, most = [float(word) for word in words[count - 1][9:11]], \
            [float(word) for word in words[count][11:13]]
        check(all(after - before >= gap for after, before in zip(most, least)),
              "the clocks go on from where they were", f"{gap} {words[count - 1]} {words[count]}")
        # criu-lite itself has taken some.
        check(0 < int(words[count][8]) - int(words[count - 1][8]) < 9,
              "process ids are given out where they were", f"{words[count - 1]} {words[count]}")
        fresh = {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in namespaces}
        own = {name: os.readlink(f"/proc/self/ns/{name}") for name in namespaces}
        check(not set(fresh.values()) & set(own.values()), "its namespaces are its own")
        if turn < 2:
            options = ["--pre-copy"] if turn == 1 else []
            done = criu_lite("checkpoint", "-t", str(pid), "-o", image, *options)
            saved = time.time()
            harness.reap({})
            check(done.returncode == 0, f"it can be saved once more {' '.join(options)}",
                  done.stderr)
        for fault in ("puppets:after", "rounds:after", "rounds:after:kill") if turn == 1 else ():
            done = criu_lite("restore", image, "--detach", fault=fault)
            check(done.returncode != 0 and wait_for(nobody_left),
                  f"nothing is left of rounds that fail ({fault})",
                  done.stderr + str(harness.children(os.getpid())))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    check.plan()
