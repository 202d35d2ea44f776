# SPDX-License-Identifier: GPL-2.0-or-later
"""Terminals with a person's shell in them, for tests of jobs and sessions."""

import errno
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time

import harness

TIMEOUT = 20

checks = harness.Checks()


def test(name, good, *notes):
    return checks(good, name, *notes)


class Terminal:
    """A terminal with an interactive shell in it, as a person has one."""

    def __init__(self, columns):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            harness.reset_signals()
            os.closerange(3, 1024)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"],
                      {**os.environ, "PS1": "prompt> ", "TERM": "dumb"})
        self.resize(40, columns)
        os.set_blocking(self.fd, False)
        self.expect("prompt> ")
        self.type("bind 'set enable-bracketed-paste off'; stty -echo; set +o emacs\n", "prompt> ")

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.0):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.text += os.read(self.fd, 4096).decode(errors="replace")
            except OSError as problem:
                if problem.errno != errno.EIO:
                    raise

    def expect(self, wanted):
        """Waits until the pattern appears, forgets all up to it, and returns the match."""
        deadline = time.monotonic() + TIMEOUT
        while not (found := re.search(wanted, self.text)):
            if time.monotonic() > deadline:
                return None
            self.read(0.05)
        self.text = self.text[found.end():]
        return found

    def type(self, text, wanted=None):
        os.write(self.fd, text.encode())
        return self.expect(wanted) if wanted else None

    def hang_up(self):
        os.close(self.fd)
        while harness.start_time(self.pid):
            harness.reap({})
            time.sleep(0.002)


def command(*arguments):
    """Runs criu-lite. Returns its exit status and what it says."""
    done = subprocess.run([harness.CRIU_LITE, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    harness.reap({})
    return done.returncode, done.stderr


def main(run):
    """Calls run(scratch directory, path of an image) with terminals of its own; the exit status."""
    harness.become_subreaper()
    harness.own(["terminals"])
    scratch = tempfile.mkdtemp(prefix="criu-lite-terminal-")
    try:
        run(scratch, os.path.join(scratch, "image"))
    finally:
        harness.kill_descendants()
        shutil.rmtree(scratch)
    checks.plan()
    return 1 if checks.failed else 0
