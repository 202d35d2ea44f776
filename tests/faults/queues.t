#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Killing criu-lite while it copies what waits in terminals and queues loses none of it.

    queues.t [--kills N]

These have no peek: a checkpoint takes the data out and puts it back. The programs are those of
tests/kinds, which check in the end that all is there."""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

PROGRAMS = ["pty", "mqueue"]
PATIENCE = 60


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def checkpoint(pid, image, delay):
    """Killed after the delay (None: not at all). Returns the seconds that it took."""
    begin = time.monotonic()
    process = subprocess.Popen([harness.CRIU_LITE, "checkpoint", "-t", str(pid), "-o", image,
                                "--leave-running"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if delay is not None:
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    process.wait()
    return time.monotonic() - begin


def tracers(pid):
    """Who still holds the program, and what he does."""
    found = {}
    for member in harness.tree(pid):
        status = harness.read_text(f"/proc/{member}/status") or ""
        for tracer in re.findall(r"^TracerPid:\t([1-9]\d*)$", status, re.M):
            found[tracer] = [harness.read_text(f"/proc/{tracer}/{name}")
                             for name in ("cmdline", "syscall", "wchan")]
    return found


def judge(program, kills):
    """Runs one program; None, or what is wrong."""
    scratch = tempfile.mkdtemp(prefix=f"criu-lite-queues-{program}-")
    image = os.path.join(scratch, "image")
    result = os.path.join(scratch, "result")
    process = subprocess.Popen([os.path.join(harness.BUILD, "tests/kinds", program), scratch],
                               stdin=subprocess.DEVNULL, start_new_session=True,
                               preexec_fn=harness.reset_signals)
    try:
        if not wait_for(lambda: os.path.exists(os.path.join(scratch, "ready"))):
            return "the program is not ready"
        whole = min(checkpoint(process.pid, image, None) for _ in range(3))
        for _ in range(kills):
            checkpoint(process.pid, image, random.uniform(0.0005, whole))
            if not wait_for(lambda: not tracers(process.pid)):
                return f"the program is still traced: {tracers(process.pid)}"
        open(os.path.join(scratch, "go"), "w").close()
        wait_for(lambda: os.path.exists(result) or process.poll() is not None)
        verdict = (harness.read_text(result) or "no result").strip()
        return None if verdict == "PASS" else verdict
    finally:
        harness.kill_descendants()
        shutil.rmtree(scratch)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kills", type=int, default=300 if os.environ.get("SOAK") else 40)
    options = parser.parse_args()
    harness.become_subreaper()
    harness.own(["terminals", "ipc"])
    failures = 0
    for number, program in enumerate(PROGRAMS, 1):
        wrong = judge(program, options.kills)
        failures += wrong is not None
        print(f"{'not ok' if wrong else 'ok'} {number} - {program}, {options.kills} kills",
              flush=True)
        if wrong:
            print(f"# {wrong}", file=sys.stderr)
    print(f"1..{len(PROGRAMS)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
