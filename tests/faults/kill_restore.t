#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""criu-lite is killed at random instants of a restore: all of the program is there, or nothing.

    kill_restore.t [PROGRAM…]

The programs are those of tests/kinds; SEED in the environment chooses the delays."""

import os
import random
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import faults
import harness
from faults import kinds, machine

PROGRAMS = ["tree", "unix_socket", "sysv_ipc_gone", "sysv_shm", "deleted_file", "cgroup"]
KILLS = 400 if os.environ.get("SOAK") else 30


class KillCase(faults.Case):
    """One program's restore is killed again and again."""

    def start_restore(self):
        words = [harness.CRIU_LITE, "restore", self.image, "--detach", "--pidfile",
                 self.path("pidfile"), *self.wishes.get("options", "").split()]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def took(self):
        """How long a restore takes that is not killed."""
        begin = time.monotonic()
        process = self.start_restore()
        if process.wait():
            raise kinds.Failed(f"restore: exit status {process.returncode}")
        seconds = time.monotonic() - begin
        self.take_away()
        return seconds

    def take_away(self):
        self.kill_tree()
        os.unlink(self.path("pidfile"))
        self.between()
        self.expect_nothing(self.before, self.outside)

    def run_kills(self):
        pick = random.Random(int(os.environ["SEED"]))
        members = len(self.members())
        self.checkpoint()
        self.between()
        self.before, self.outside = self.files(), machine(self.scratch)
        longest = self.took()
        whole = 0
        for number in range(KILLS):
            delay = pick.uniform(0.0005, longest * 1.1)
            self.where = f"kill {number} after {delay * 1000:.2f} ms"
            process = self.start_restore()
            time.sleep(delay)
            process.kill()
            process.wait()
            self.settle()
            time.sleep(0.002)
            if not harness.children(os.getpid()):
                self.expect_nothing(self.before, self.outside)
                continue
            there = harness.tree(self.pid) if harness.start_time(self.pid) else []
            if len(there) != members or not os.path.exists(self.path("pidfile")):
                # Those who were just dying.
                self.expect_nothing(self.before, self.outside)
                continue
            whole += 1
            self.take_away()
        print(f"# {longest * 1000:.1f} ms; {whole} of {KILLS} came too late")
        self.where = "the last restore"
        self.wishes.pop("between", None)
        self.restore()


def main():
    if sys.argv[1:2] == ["--case"]:
        harness.become_subreaper()
        return KillCase(os.path.join(harness.BUILD, "tests/kinds", sys.argv[2]), "kills",
                        sys.argv[3]).run()
    os.environ.setdefault("SEED", str(random.randrange(1 << 30)))
    print(f"# seed {os.environ['SEED']}")
    return faults.run_all(__file__, sys.argv[1:] or PROGRAMS, "killed restores of")


sys.exit(main())
