#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each step of checkpoint and restore fails, or is the last before criu-lite is killed.

    steps.t [PROGRAM…]

The programs are those of tests/kinds. After a checkpoint that failed the program looks as before;
after a restore that failed nothing of it is there, no process, file or IPC object; and in the end
the program comes back and checks itself."""

import argparse
import concurrent.futures
import glob
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import harness
import looks


def load_kinds():
    """tests/kinds.t, a script, as a module."""
    loader = importlib.machinery.SourceFileLoader("kinds", os.path.join(HERE, "../kinds.t"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("kinds", loader))
    loader.exec_module(module)
    return module


kinds = load_kinds()
PROGRAMS = ["tree", "threads", "tcp_socket", "unix_socket", "sysv_ipc", "sysv_ipc_gone", "sysv_shm",
            "mqueue_gone", "deleted_file", "pty_session", "pipe", "in_flight"]
FAULTS = ["", ":after", ":kill", ":after:kill"]
# What runs for so long must be hanging.
PATIENCE = 20
AT_ONCE = 2


def machine():
    """What a restore can leave behind outside of processes."""
    found = {}
    for table in ("msg", "sem", "shm"):
        lines = (harness.read_text(f"/proc/sysvipc/{table}") or "").splitlines()[1:]
        found[table] = sorted(" ".join(line.split()[:3]) for line in lines)
    return found


class FaultCase(kinds.Case):
    """Takes one program through all faults."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        own = set(self.wishes.get("own", "").split(",")) - {""} | {"ipc"}
        self.wishes["own"] = ",".join(sorted(own))
        self.where = "before"

    def files(self):
        """All below the scratch directory but what this test makes itself."""
        own = {"image", "log", "output", "ready", "pidfile", "result"}
        found = {os.path.relpath(path, self.scratch)
                 for path in glob.glob(self.scratch + "/**", recursive=True, include_hidden=True)}
        return sorted(found - own - {"."})

    def faulty(self, fault, *arguments):
        """Runs criu-lite with a fault; returns its exit status, negative for a signal."""
        words = [harness.CRIU_LITE, *arguments]
        with open(self.path("log"), "w+b") as log:
            done = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env={**os.environ, "CRIU_LITE_FAULT": fault})
            try:
                code = done.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                done.kill()
                raise kinds.Failed(f"{arguments[0]} hangs") from None
            log.seek(0)
            self.said = log.read().decode(errors="replace")
        expected = -9 if fault.endswith(":kill") else 1
        if code != expected:
            raise kinds.Failed(f"{arguments[0]}: exit status {code}, not {expected}: {self.said}")
        if expected == 1 and "fault injected" not in self.said:
            raise kinds.Failed(f"{arguments[0]} fails otherwise: {self.said}")

    def steps(self, *arguments):
        """The names of the steps of a run that succeeds."""
        done = subprocess.run([harness.CRIU_LITE, *arguments, "--stats"], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise kinds.Failed(f"{arguments[0]}: exit status {done.returncode}: {done.stderr}")
        names = re.findall(r"^  (\S+) +[\d.]+ ms$", done.stderr, re.M)
        return [name for name in names if name not in ("total", "frozen")]

    def settle(self):
        """Guards end, and zombies are collected."""
        self.wait_for("a guard does not end", lambda: not any(
            harness.read_text(f"/proc/{pid}/comm") in ("criu-lite-guard\n", "criu-lite\n")
            for pid in harness.children(os.getpid())))

    def expect_unharmed(self, before, files):
        self.settle()
        changes = looks.difference(before, self.look())
        if changes:
            raise kinds.Failed("the tree looks otherwise: " + "\n".join(changes))
        left = [name for name in self.files() if name not in files]
        if left and left != ["image.part"]:
            raise kinds.Failed(f"files stay behind: {left}")

    def expect_nothing(self, files, outside):
        def same():
            return not harness.children(os.getpid()) and machine() == outside

        try:
            self.settle()
            self.wait_for("something stays behind", same)
        except kinds.Failed:
            raise kinds.Failed(f"processes {harness.tree(os.getpid())[1:]}; "
                               f"{outside} has become {machine()}") from None
        left = self.files()
        if left != files or os.path.exists(self.path("pidfile")):
            raise kinds.Failed(f"files: {files} has become {left}, " + "pidfile" * os.path.exists(
                self.path("pidfile")))

    def back(self):
        """The program is restored from the image; the image stays."""
        self.restore()
        os.unlink(self.path("pidfile"))

    def fault_checkpoint(self, step, fault, before):
        files, members = self.files(), self.members()
        # A snapshot first, which lets the program run on early.
        options = ["--leave-running"] if step in ("snapshot", "pages") else []
        self.faulty(step + fault, "checkpoint", "-t", str(self.pid), "-o", self.image, *options)
        done = ["publish:after", "release", "release:after"]
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
        if step + fault == "go:after:kill":
            # It runs already, and so it shall.
            self.kill_tree()
            os.unlink(self.path("pidfile"))
            return
        self.expect_nothing(files, outside)

    def run_faults(self):
        before = self.look()
        for step in self.steps("checkpoint", "-t", str(self.pid), "-o", self.image,
                               "--leave-running"):
            if os.path.exists(self.image):
                os.unlink(self.image)
            for fault in FAULTS:
                self.where = f"checkpoint with {step}{fault}"
                self.fault_checkpoint(step, fault, before)
        self.where = "the restore of all"
        self.checkpoint()
        between = self.wishes.get("between")
        if between and subprocess.run(between, shell=True, cwd=self.scratch).returncode:
            raise kinds.Failed(f"{between} failed")
        self.wishes.pop("between", None)
        files, outside = self.files(), machine()
        steps = self.steps("restore", self.image, "--detach", *self.wishes.get("options", "").split())
        self.kill_tree()
        if between and subprocess.run(between, shell=True, cwd=self.scratch).returncode:
            raise kinds.Failed(f"{between} failed")
        self.wait_for("not as before", lambda: (self.files(), machine()) == (files, outside))
        for step in steps:
            for fault in FAULTS:
                self.where = f"restore with {step}{fault}"
                self.fault_restore(step, fault, files, outside)
        self.where = "the last restore"
        self.back()

    def note(self, text):
        if not text.startswith("$ "):
            print(f"{self.where}: {text}", flush=True)


def run_case(name):
    """Returns (exit status, diagnostics)."""
    scratch = tempfile.mkdtemp(prefix=f"criu-lite-faults-{name}-")
    os.chmod(scratch, 0o777)
    try:
        done = subprocess.run([sys.executable, os.path.abspath(__file__), "--case", name, scratch],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=300)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return 1, (late.stdout or b"").decode(errors="replace") + "\nthe case itself hangs"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("names", nargs="*", default=PROGRAMS)
    options = parser.parse_args()
    if os.geteuid():
        print("1..0 # SKIP needs root")
        return 0
    harness.become_subreaper()
    print(f"1..{len(options.names)}", flush=True)
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for number, (name, (status, text)) in enumerate(
                zip(options.names, pool.map(run_case, options.names)), 1):
            if status == harness.SKIPPED:
                print(f"ok {number} - {name} # SKIP {text.strip()}", flush=True)
                continue
            print(f"{'not ok' if status else 'ok'} {number} - every step of {name}", flush=True)
            if status:
                failures += 1
                print("# " + text.strip().replace("\n", "\n# "), file=sys.stderr, flush=True)
    return 1 if failures or harness.kill_descendants() else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        harness.become_subreaper()
        case = FaultCase(os.path.join(harness.BUILD, "tests/kinds", sys.argv[2]), "faults",
                         sys.argv[3])
        sys.exit(case.run())
    sys.exit(main())
