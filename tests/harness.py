# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests in Python share: adopting and ending processes, criu-lite itself, and saying how a
check went."""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True

PR_SET_CHILD_SUBREAPER = 36
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
CRIU_LITE = os.environ.get("CRIU_LITE", os.path.join(BUILD, "criu-lite"))
SKIPPED = 77


def become_subreaper():
    """Orphans among our descendants become our children: we see them end, and can end them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET = 0x20000, 0x8000000, 0x40000000
CLONE_NEWUSER = 0x10000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000


def own(things):
    """Gives this process and those it will start what no other test has: "terminals" (a devpts
    instance, so that their numbers are free), "ipc" (an IPC namespace) and "network" (a namespace
    with lo, in which everybody may ping)."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function, *arguments):
        if function(*arguments):
            raise OSError(ctypes.get_errno(), f"{function.__name__}{arguments}")

    if not things:
        return
    call(libc.unshare, CLONE_NEWNS | (CLONE_NEWIPC if "ipc" in things else 0) |
         (CLONE_NEWNET if "network" in things else 0))
    call(libc.mount, b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if "terminals" in things:
        call(libc.mount, b"devpts", b"/dev/pts", b"devpts", 0,
             b"newinstance,ptmxmode=0666,mode=0620")
        call(libc.mount, b"/dev/pts/ptmx", b"/dev/ptmx", None, MS_BIND, None)
    if "network" in things:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
            file.write("0 2147483647")


def reset_signals():
    """Before exec: no signal ignored (Python ignores some) and none blocked."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def read_text(path):
    """A file's text, or None when it is not there (or its process has just ended)."""
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None


def lines(path):
    """Those of a file that a test program writes to; none while it is not there."""
    return (read_text(path) or "").splitlines()


def wait_for(condition, seconds=10):
    """Polls it. Returns whether it has come true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def wait_for_more(path, count):
    """A file's lines, once there are so many or no more come."""
    wait_for(lambda: len(lines(path)) >= count, 20)
    return lines(path)


def criu_lite(*words, fault=None):
    """Runs it with these arguments, and with a fault where one is named."""
    environment = dict(os.environ, CRIU_LITE_FAULT=fault) if fault else None
    return subprocess.run([CRIU_LITE, *words], stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True, text=True, env=environment)


class Checks:
    """Says how checks went, in TAP: check(passed, what, note...), in the end check.plan()."""

    def __init__(self):
        self.count = self.failed = 0

    def __call__(self, passed, what, *notes):
        self.count += 1
        self.failed += not passed
        print(f"{'ok' if passed else 'not ok'} {self.count} - {what}", flush=True)
        if not passed:
            text = "\n".join(str(note) for note in notes)
            print("\n".join(f"# {line}" for line in text.splitlines()), file=sys.stderr,
                  flush=True)
        return passed

    def plan(self):
        print(f"1..{self.count}", flush=True)


def children(pid):
    """The pids of the children of all threads of a process."""
    found = []
    try:
        tids = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for tid in tids:
        found += (read_text(f"/proc/{pid}/task/{tid}/children") or "").split()
    return sorted(int(child) for child in found)


def tree(pid):
    """A process and all its descendants, parents first."""
    found = [pid]
    for member in found:
        found += children(member)
    return found


def start_time(pid):
    """Field 22 of /proc/PID/stat, which tells a process from a later one with its pid; None when
    there is no such process."""
    text = read_text(f"/proc/{pid}/stat")
    return text.rpartition(")")[2].split()[19] if text else None


def start_in_namespaces(flags, program, *arguments):
    """Runs a Python program as the first process of new namespaces; in a user namespace, 100000 is
    its root. Returns the pid of its mother, which ends with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    ready, mapped = os.pipe(), os.pipe()
    mother = os.fork()
    if mother == 0:
        if libc.unshare(flags):
            os._exit(1)
        os.write(ready[1], b"x")
        os.read(mapped[0], 1)
        child = os.fork()
        if child == 0:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            if not flags & CLONE_NEWUSER:
                libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
            libc.mount(b"proc", b"/proc", b"proc", 0, None)
            null = os.open("/dev/null", os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            os.closerange(3, 1024)
            reset_signals()
            os.execv(sys.executable, [sys.executable, "-c", program, *arguments])
        os.waitpid(child, 0)
        os._exit(0)
    os.read(ready[0], 1)
    if flags & CLONE_NEWUSER:
        for file in ("uid_map", "gid_map"):
            with open(f"/proc/{mother}/{file}", "w") as text:
                text.write("0 100000 65536\n")
    os.write(mapped[1], b"x")
    return mother


def reap(statuses):
    """Collects every child that has ended into statuses {pid: wait status}."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        statuses[pid] = status


def kill_descendants(seconds=10):
    """Ends every descendant of this process by its pid, and reaps them. Returns those that would
    not go. They are stopped first, so that none acts on the death of another."""
    for pid in tree(os.getpid())[1:]:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            pass
    deadline = time.monotonic() + seconds
    while True:
        reap({})
        members = tree(os.getpid())[1:]
        if not members or time.monotonic() > deadline:
            return members
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.002)
