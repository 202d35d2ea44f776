#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each step of checkpoint and restore fails, or is the last before criu-lite is killed.

    steps.t [PROGRAM…]

The programs are those of tests/kinds. After a checkpoint that failed the program looks as before;
after a restore that failed nothing of it is there, no process, file or IPC object; and in the end
the program comes back and checks itself."""

import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import faults
import harness
from faults import kinds, machine

PROGRAMS = ["tree", "threads", "tcp_socket", "unix_socket", "sysv_ipc", "sysv_ipc_gone", "sysv_shm",
            "mqueue_gone", "deleted_file", "pty_session", "pipe", "in_flight", "cgroup"]
FAULTS = ["", ":after", ":kill", ":after:kill"]


class FaultCase(faults.Case):
    """Takes one program through all faults."""

    def faulty(self, fault, *words):
        """Runs criu-lite with a fault, which must be how it ends."""
        code, said = self.criu_lite(*words, CRIU_LITE_FAULT=fault)
        expected = -9 if fault.endswith(":kill") else 1
        if code != expected:
            raise kinds.Failed(f"{words[0]}: exit status {code}, not {expected}: {said}")
        if expected == 1 and "fault injected" not in said:
            raise kinds.Failed(f"{words[0]} fails otherwise: {said}")

    def steps(self, *words):
        """The names of the steps of a run that succeeds."""
        code, said = self.criu_lite(*words, "--stats")
        if code:
            raise kinds.Failed(f"{words[0]}: exit status {code}: {said}")
        names = re.findall(r"^  (\S+) +[\d.]+ ms$", said, re.M)
        return [name for name in names if name not in ("total", "frozen")]

    def expect_unharmed(self, before, files):
        self.settle()
        self.changes = []
        self.compare(before)
        if self.changes:
            raise kinds.Failed("the tree looks otherwise: " + "\n".join(self.changes))
        left = [name for name in self.files() if name not in files]
        if left and left != ["image.part"]:
            raise kinds.Failed(f"files stay behind: {left}")

    def back(self):
        """The program is restored from the image; the image stays."""
        self.restore()
        os.unlink(self.path("pidfile"))

    def fault_checkpoint(self, step, fault, before):
        files, members = self.files(), self.members()
        # A snapshot first, which lets the program run on early.
        options = ["--leave-running"] if step in ("snapshot", "pages") else []
        self.faulty(step + fault, "checkpoint", *self.target(), "-o", self.image, *options)
        done = ["publish:after", "offer", "offer:after", "release", "release:after"]
        if (step + fault).removesuffix(":kill") in done:
            self.verify()
            if step + fault in ("release:after", "release:after:kill"):
                self.settle()
                self.expect_gone(members)
                self.back()
                files = self.files()
            os.unlink(self.image)
        elif os.path.exists(self.image):
            raise kinds.Failed("there is an image")
        self.expect_unharmed(before, files)

    def fault_restore(self, step, fault, files, outside):
        self.faulty(step + fault, "restore", self.image, "--detach", "--pidfile",
                    self.path("pidfile"), *self.wishes.get("options", "").split())
        if step + fault == "decide:after:kill" or \
                (step in ("unlock", "wake", "open", "go", "late") and fault.endswith(":kill")):
            # It lives without us, with all that it has.
            self.kill_tree()
            os.unlink(self.path("pidfile"))
            self.wishes["between"] = self.cleanup
            self.between()
            self.wishes.pop("between")
            return
        self.expect_nothing(files, outside)

    def run_faults(self):
        before = self.steady_look()
        for step in self.steps("checkpoint", *self.target(), "-o", self.image,
                               "--leave-running"):
            if os.path.exists(self.image):
                os.unlink(self.image)
            for fault in FAULTS:
                self.where = f"checkpoint with {step}{fault}"
                self.fault_checkpoint(step, fault, before)
        self.where = "the restore of all"
        self.checkpoint()
        self.between()
        files, outside = self.files(), machine(self.scratch)
        steps = self.steps("restore", self.image, "--detach",
                           *self.wishes.get("options", "").split())
        self.kill_tree()
        self.between()
        self.cleanup = self.wishes.pop("between", None)
        self.wait_for("not as before",
                      lambda: (self.files(), machine(self.scratch)) == (files, outside))
        for step in steps:
            for fault in FAULTS:
                self.where = f"restore with {step}{fault}"
                self.fault_restore(step, fault, files, outside)
        self.where = "the last restore"
        self.back()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        harness.become_subreaper()
        sys.exit(FaultCase(os.path.join(harness.BUILD, "tests/kinds", sys.argv[2]), "faults",
                           sys.argv[3]).run())
    sys.exit(faults.run_all(__file__, sys.argv[1:] or PROGRAMS, "every step of"))
