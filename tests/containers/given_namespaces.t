#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Namespaces that a container was given from outside are joined again, by their paths."""

import os
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness
from harness import criu_lite, wait_for


def start(*words):
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
             "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words, preexec_fn=harness.reset_signals, **quiet)


def inode(pid, name):
    return os.stat(f"/proc/{pid}/ns/{name}").st_ino


harness.become_subreaper()
check = harness.Checks()
with tempfile.TemporaryDirectory() as scratch:
    image, pidfile = f"{scratch}/image", f"{scratch}/pid"
    holder = start("unshare", "-n", "-u", "sleep", "1000")
    wait_for(lambda: inode(holder.pid, "net") != inode("self", "net") and
             inode(holder.pid, "uts") != inode("self", "uts"))
    given = [word for name in ("net", "uts")
             for word in ("--external", f"ns[{name}]=/proc/{holder.pid}/ns/{name}")]
    starter = start("nsenter", f"--net=/proc/{holder.pid}/ns/net",
                    f"--uts=/proc/{holder.pid}/ns/uts", "unshare", "-p", "-f", "--mount-proc", "-i",
                    "setsid", "sleep", "1000")
    wait_for(lambda: harness.children(starter.pid) and "sleep" in
             (harness.read_text(f"/proc/{harness.children(starter.pid)[0]}/comm") or ""))
    pid = harness.children(starter.pid)[0]

    done = criu_lite("checkpoint", "-t", str(pid), "-o", image, "--external",
                     "ns[net]=/proc/self/ns/net")
    check(done.returncode == 2 and "is not the net namespace" in done.stderr,
          "a wrong path is refused", done.stderr)
    done = criu_lite("checkpoint", "-t", str(pid), "-o", image, *given)
    starter.wait()
    check(done.returncode == 0, "it is saved without them", done.stderr)
    done = criu_lite("restore", image, "--detach")
    check(done.returncode == 3 and "--external ns[net]=PATH" in done.stderr and
          wait_for(lambda: harness.reap({}) or harness.children(os.getpid()) == [holder.pid]),
          "it does not come back without them", done.stderr)
    done = criu_lite("restore", image, "--detach", "--pidfile", pidfile, *given)
    check(done.returncode == 0, "it comes back with them", done.stderr)
    pid = int(harness.read_text(pidfile) or 0)
    check(all(inode(pid, name) == inode(holder.pid, name) for name in ("net", "uts")) and
          all(inode(pid, name) not in (inode("self", name), inode(holder.pid, name))
              for name in ("pid", "ipc", "mnt")), "and is in them, and in others of its own")
    for one in (pid, holder.pid):
        os.kill(one, signal.SIGKILL)
        os.waitpid(one, 0)
    check.plan()
