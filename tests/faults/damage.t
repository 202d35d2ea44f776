#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that were cut, hit by flipped bits or forged are refused, and nothing stays behind.

    damage.t [--seed N] [PROGRAM…]

The programs are those of tests/kinds; each is saved, PROGRAM+rounds with --pre-copy, and its image
damaged many times. CRIU_LITE may name another build, such as that with sanitizers. All this runs in
namespaces where most of the file system is read-only, and no forged program is ever let run."""

import os
import random
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import faults
import forge
import harness
from faults import kinds, machine

PROGRAMS = ["counter", "pipe", "tcp_socket", "unix_queue", "in_flight", "epoll", "tree", "cow",
            "shared_anonymous", "sysv_ipc_gone", "mqueue_gone", "pty_session", "timers", "file_locks",
            "cgroup", "tree+rounds", "cow+rounds", "shared_anonymous+rounds"]
# These meet the build with sanitizers, if it is there.
SANITIZED = {"unix_queue", "in_flight", "tree", "sysv_ipc_gone"}
SOAK = 20 if os.environ.get("SOAK") else 1
FLIPS, CUTS, FORGERIES = 90 * SOAK, 25 * SOAK, 50 * SOAK
DAMAGED = 5
# What a restore of lies may say: something failed, not possible here, target, damaged.
REFUSALS = {1, 3, 4, 5}
SANDBOX = ["unshare", "--mount", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child"]


class DamageCase(faults.Case):
    """One program's image in all states."""

    def restore_of(self, path):
        """Restores it but for letting it run."""
        return self.criu_lite("restore", path, "--detach", "--pidfile", self.path("pidfile"),
                              *self.wishes.get("options", "").split(), CRIU_LITE_FAULT="go")

    def attempt(self, data, what, verdicts, outcomes):
        """Verifies and restores these bytes; both exit statuses must be among those given."""
        path = self.path("forged")
        with open(path, "wb") as file:
            file.write(data)
        self.where = what
        code, said = self.criu_lite("verify", path)
        if code not in verdicts:
            raise kinds.Failed(f"verify: exit status {code}: {said}")
        verified = code
        code, said = self.restore_of(path)
        if code not in outcomes:
            raise kinds.Failed(f"restore: exit status {code}: {said}")
        self.expect_nothing(self.before, self.outside)
        return verified, code, said

    def flip_bits(self, data, pick):
        for _ in range(FLIPS):
            at = pick.randrange(len(data) * 8)
            damaged = bytearray(data)
            damaged[at // 8] ^= 1 << at % 8
            self.attempt(damaged, f"bit {at % 8} of byte {at // 8} flipped", {DAMAGED}, {DAMAGED})

    def cut(self, data, pick):
        lengths = {0, 1, forge.PREAMBLE - 1, forge.PREAMBLE, len(data) - 1}
        lengths |= {pick.randrange(len(data)) for _ in range(CUTS)}
        at = forge.PREAMBLE
        for record in forge.parse(data)[:CUTS]:
            at += forge.HEADER + len(record.payload)
            lengths.add(at)
        for length in sorted(lengths):
            self.attempt(data[:length], f"cut to {length} bytes", {DAMAGED}, {DAMAGED})
        self.attempt(data + b"\0", "one byte more", {DAMAGED}, {DAMAGED})

    def forge(self, data, pick):
        """Returns how many were found out by verify, and by restore only."""
        early = late = 0
        for number in range(FORGERIES):
            records = forge.parse(data)
            what = ""
            for _ in range(pick.choice([1, 1, 2])):
                what += f"forgery {number}: {forge.change_records(records, pick)} "
            verified, _, said = self.attempt(forge.build(data[:forge.PREAMBLE], records), what,
                                             {0, 3, DAMAGED}, REFUSALS)
            early += verified != 0
            late += verified == 0 and "fault injected" not in said
        return early, late

    def run_damage(self):
        pick = random.Random(int(os.environ["SEED"]))
        self.checkpoint(*self.options)
        self.between()
        self.wishes.pop("between", None)
        self.before, self.outside = self.files(), machine(self.scratch)
        with open(self.image, "rb") as image:
            data = image.read()
        code, said = self.restore_of(self.image)
        if code != 1 or "fault injected" not in said:
            raise kinds.Failed(f"the whole image: exit status {code}: {said}")
        self.expect_nothing(self.before, self.outside)
        self.attempt(forge.build(data[:forge.PREAMBLE], forge.parse(data)), "sealed anew", {0}, {1})
        self.flip_bits(data, pick)
        self.cut(data, pick)
        early, late = self.forge(data, pick)
        print(f"# {len(data)} bytes; of {FORGERIES} forgeries {early} were refused by verify, "
              f"{late} later, the others could be restored")
        self.where = "the last restore"
        self.restore()


def enter_sandbox(scratch):
    """Only what the test makes can be written: the scratch directory and shared memory."""
    for words in (["--make-rprivate", "/"], ["-t", "tmpfs", "none", scratch],
                  ["-t", "tmpfs", "none", "/dev/shm"], ["-o", "remount,bind,ro", "/"]):
        subprocess.run(["mount", *words], check=True)


def main():
    if sys.argv[1:2] == ["--case"]:
        enter_sandbox(sys.argv[3])
        sanitized = os.path.join(harness.BUILD, "asan/criu-lite")
        program, _, rounds = sys.argv[2].partition("+")
        if program in SANITIZED and os.path.exists(sanitized) and "CRIU_LITE" not in os.environ:
            harness.CRIU_LITE = sanitized
        harness.become_subreaper()
        case = DamageCase(os.path.join(harness.BUILD, "tests/kinds", program), "damage",
                          sys.argv[3])
        case.options = ["--pre-copy"] if rounds else []
        return case.run()
    names = sys.argv[1:]
    if names[:1] == ["--seed"]:
        os.environ["SEED"] = names[1]
        names = names[2:]
    # The same damage each time; soak looks for new sorts of it.
    os.environ.setdefault("SEED", str(random.randrange(1 << 30)) if "SOAK" in os.environ else "1")
    print(f"# seed {os.environ['SEED']}")
    return faults.run_all(__file__, names or PROGRAMS, "damaged images of", SANDBOX)


sys.exit(main())
