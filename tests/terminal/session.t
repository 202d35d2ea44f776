#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A shell that had a terminal for itself gets a new one between itself and the restorer's."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
from harness import CRIU_LITE
from terminals import Terminal, command, main, test


def run(scratch, image):
    first = Terminal(80)
    first.type("value=42; sleep 1000 & cat\n")
    time.sleep(0.3)
    first.type("line\n", "line\r\n")
    code, text = command("checkpoint", "-t", str(first.pid), "-o", image)
    test("checkpoint of a shell with jobs", code == 0, text)
    first.hang_up()

    code, text = command("restore", image)
    test("it needs a terminal", code == 1 and "--stdio null" in text, text)
    second = Terminal(100)
    second.type(f"{CRIU_LITE} restore --detach {image}\n")
    test("and somebody who stays in front of it", second.expect("without --detach(.|\\s)*prompt> "),
         second.text)
    second.type(f"{CRIU_LITE} restore {image}\n")
    test("its foreground job goes on", second.type("more\n", "more\r\n"), second.text)
    test("^Z stops that job, for its own shell",
         second.type("\x1a", r"Stopped +cat\r\n(.|\s)*prompt> "), second.text)
    test("which knows what it knew", second.type("echo value $value\n", "value 42\r\n.*prompt> "),
         second.text)
    test("and its jobs", second.type("jobs\n", r"Running +sleep 1000 &\r\n(.|\s)*Stopped +cat"),
         second.text)
    test("fg brings one back", second.type("fg\n", "cat\r\n") and
         second.type("again\n", "again\r\n"), second.text)
    test("^C ends it", second.type("\x03", "prompt> "), second.text)
    test("the terminal has the size of ours", second.type("stty size\n", "40 100\r\n"), second.text)
    second.resize(50, 120)
    time.sleep(0.1)
    test("also when that changes", second.type("stty size\n", "50 120\r\nprompt> "), second.text)
    test("tty is not ours", second.type("tty\n", r"/dev/pts/[0-9]+\r\nprompt> "), second.text)
    second.type("kill %1; exit 5\n", "prompt> ")
    test("its end is the restorer's", second.type("echo status $?\n", "status 5\r\n"), second.text)
    test("and our terminal as before", second.type("stty -a | grep -c ' icanon'\n", "1\r\nprompt> "),
         second.text)
    second.hang_up()

    code, text = command("restore", image, "--detach", "--stdio", "null")
    test("without a terminal, if asked for", code == 0, text)


if __name__ == "__main__":
    sys.exit(main(run))
