#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A job started from a terminal is restored onto the terminal of the restorer, as its job."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
from harness import CRIU_LITE
from terminals import Terminal, command, main, test

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

def run(scratch, image):
    with open(os.path.join(scratch, "job.py"), "w") as file:
        file.write(JOB)
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
    test("a restore that fails leaves the terminal to the shell",
         second.type(f"CRIU_LITE_FAULT=registers {CRIU_LITE} restore {image}\n",
                     r"fault injected(.|\s)*prompt> ") and
         second.type("stty -a | tr ';' '\\n' | grep intr\n", r"intr = \^C\s"), second.text)
    test("the job is told that its terminal has another size",
         second.type(f"{CRIU_LITE} restore {image}\n", "resized to 100"), second.text)
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
    sys.exit(main(run))
