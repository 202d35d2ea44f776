# SPDX-License-Identifier: GPL-2.0-or-later
"""For drivers inside a saved tree: they start a program, put it under load, and say when the test
asks (`ask` in tests/lib.sh) whether all is right."""

import os
import sys
import threading
import time
import traceback

LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 30


class Load:
    """A thread that calls step(n) for n = 1, 2, … without a pause. The first exception ends it and
    is found by moves()."""

    def __init__(self, name, step):
        self.name, self.step = name, step
        self.count, self.trouble = 0, None
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while True:
                self.step(self.count + 1)
                self.count += 1
        except BaseException:
            self.trouble = traceback.format_exc()

    def moves(self, steps=3):
        """Waits until the load has made some more steps."""
        goal = self.count + steps
        wait_for(lambda: self.trouble or self.count >= goal,
                 f"{self.name} stays at step {self.count}")
        if self.trouble:
            raise AssertionError(f"{self.name}, step {self.count + 1}: {self.trouble}")


def wait_for(condition, complaint):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(complaint)
        time.sleep(LOOK_SECONDS)


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def write_whole(path, text):
    """The file appears with all its text or not at all."""
    with open(path + ".part", "w") as file:
        file.write(text)
    os.rename(path + ".part", path)


def serve(directory, check):
    """Answers questions for ever; check() raises when something is wrong. The first answer of all,
    ready, says that the program can be saved now."""
    write_whole(os.path.join(directory, "ready"), "ready\n")
    number = 1
    while True:
        if not os.path.exists(os.path.join(directory, f"ask.{number}")):
            time.sleep(LOOK_SECONDS)
            continue
        try:
            check()
            answer = "right\n"
        except BaseException:
            answer = "wrong\n" + traceback.format_exc()
        write_whole(os.path.join(directory, f"answer.{number}"), answer)
        number += 1


sys.dont_write_bytecode = True
