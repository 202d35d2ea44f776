#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A job started from a terminal is restored onto the terminal of the restorer, as its job."""

import errno
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import tty

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
import harness

TIMEOUT = 20
JOB = r"""
import os, signal, sys, termios, tty
def say(text):
    os.write(1, (text + "\n").encode())
signal.signal(signal.SIGINT, lambda *_: say("interrupted"))
signal.signal(signal.SIGWINCH, lambda *_: say("resized to %d" % os.get_terminal_size().columns))
attributes = termios.tcgetattr(0)
attributes[3] &= ~termios.ECHO
attributes[6][termios.VINTR] = b"\x07"
termios.tcsetattr(0, termios.TCSANOW, attributes)
own = os.open("/dev/tty", os.O_RDWR)
say("job %d" % os.getpid())
while True:
    line = os.read(0, 100)
    if line in (b"end\n", b""):
        break
    foreground = os.tcgetpgrp(own) == os.getpgrp()
    say("got %s, %s" % (line.decode().strip(), "foreground" if foreground else "background"))
sys.exit(7)
"""

number = failures = 0


def test(name, good, *notes):
    global number, failures
    number += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    if not good:
        for note in notes:
            print("\n".join("# " + line for line in str(note).splitlines()), file=sys.stderr)


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
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        os.set_blocking(self.fd, False)
        self.expect("prompt> ")
        self.type("bind 'set enable-bracketed-paste off'; stty -echo; set +o emacs\n", "prompt> ")

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
        os.waitpid(self.pid, 0)


def command(*arguments):
    done = subprocess.run([harness.CRIU_LITE, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    return done.returncode, done.stderr


def main():
    harness.become_subreaper()
    harness.own(["terminals"])
    scratch = tempfile.mkdtemp(prefix="criu-lite-job-")
    image = os.path.join(scratch, "image")
    with open(os.path.join(scratch, "job.py"), "w") as file:
        file.write(JOB)
    try:
        run(scratch, image)
    finally:
        harness.kill_descendants()
        shutil.rmtree(scratch)
    print(f"1..{number}")
    return 1 if failures else 0


def run(scratch, image):
    first = Terminal(80)
    found = first.type(f"python3 {scratch}/job.py\n", r"job (\d+)\r\n")
    test("the job runs", found, first.text)
    pid = int(found.group(1))
    test("in the foreground", first.type("one\n", "got one, foreground"), first.text)
    code, text = command("checkpoint", "-t", str(pid), "-o", image)
    test("checkpoint", code == 0, text)
    test("the shell has its terminal back", first.expect("prompt> "), first.text)
    first.hang_up()

    second = Terminal(100)
    test("the job is told that its terminal has another size",
         second.type(f"{harness.CRIU_LITE} restore {image}\n", "resized to 100"), second.text)
    test("it is in the foreground of another terminal",
         second.type("two\n", "got two, foreground"), second.text)
    test("with its settings: no echo, ^G interrupts",
         second.type("\x07", "interrupted") and "^G" not in second.text, second.text)
    test("^Z stops it for the shell", second.type("\x1a", r"Stopped.*\r\n.*prompt> "), second.text)
    test("fg continues it", second.type("fg\n", "restore") and
         second.type("three\n", "got three, foreground"), second.text)
    second.type("end\n", "prompt> ")
    test("the shell sees how it ended", second.type("echo status $?\n", "status 7\r"), second.text)
    test("the terminal is the shell's", second.type("echo again\n", "again\r\nprompt> "),
         second.text)
    second.hang_up()

    code, text = command("restore", image, "--detach")
    test("without a terminal it cannot come back", code == 1 and "--stdio null" in text, text)
    code, text = command("restore", image, "--detach", "--stdio", "null")
    test("unless to /dev/null", code == 0, text)


if __name__ == "__main__":
    sys.exit(main())
