#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs every program of tests/kinds in every mode. For trying things out:

    tests/kinds.t [--build DIR] [--mode MODE,…] [--keep] [NAME…]

Modes: none      the program alone: it must be right by itself
       restore   checkpoint; all is gone; restore; it goes on
       running   checkpoint --leave-running; the program itself goes on
       snapshot  checkpoint --leave-running; the program is killed; restore; it goes on
       twice     checkpoint, restore, checkpoint, restore; it goes on
       precopy   as restore, with memory saved in rounds before the freeze
       pipe      as restore, with the image through pipes (only where asked for)"""

import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import harness
import looks

MODES = ["none", "restore", "running", "snapshot", "twice", "precopy"]
TIMEOUT = 60
MOMENT = 10	# in which a tree comes to rest
AT_ONCE = 2
DIAGNOSTICS = 40	# lines of a failed case that are shown


class Failed(Exception):
    """The test has failed; the text says why."""


class Case:
    """One program in one mode. Runs in a process of its own, which adopts the whole tree."""

    def __init__(self, program, mode, scratch):
        self.program, self.mode, self.scratch = program, mode, scratch
        self.wishes = wishes(program)
        self.image = self.path("image")
        self.changes = []
        self.statuses = {}

    def path(self, name):
        return os.path.join(self.scratch, name)

    def note(self, text):
        print(text, flush=True)

    def wait_for(self, what, condition):
        """Polls, reaping meanwhile."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"timeout: {what}")
            harness.reap(self.statuses)
            time.sleep(0.002)

    def start(self):
        output = os.open(self.path("output"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            harness.reset_signals()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.closerange(3, 1024)
            os.execv(self.program, [self.program, self.scratch])
        os.close(output)
        self.wait_for("program is not ready", lambda: os.path.exists(self.path("ready"))
                      or os.path.exists(self.path("result")) or self.pid in self.statuses)

    def finish(self):
        """Lets the program check itself, and judges it."""
        with open(self.path("go"), "w"):
            pass
        self.wait_for("no result", lambda: self.pid in self.statuses
                      or (self.verdict() or "PASS").startswith("FAIL"))
        verdict = self.verdict()
        if verdict is None:
            raise Failed(f"the program ended without a result: {self.ending()}")
        if not verdict.startswith("PASS"):
            raise Failed(verdict.strip())
        if self.statuses[self.pid] != 0:
            raise Failed(f"the program passed, but then ended badly: {self.ending()}")

    def verdict(self):
        return harness.read_text(self.path("result"))

    def ending(self):
        code = os.waitstatus_to_exitcode(self.statuses[self.pid])
        return f"exit status {code}" if code >= 0 else f"signal {-code}"

    def command(self, *arguments, **streams):
        """Runs criu-lite; its words become diagnostics."""
        words = [harness.CRIU_LITE, *arguments]
        self.note("$ criu-lite " + " ".join(arguments).replace(self.scratch + "/", ""))
        with open(self.path("log"), "w+b") as log:
            process = subprocess.Popen(words, stdin=streams.get("stdin", subprocess.DEVNULL),
                                       stdout=streams.get("stdout", log), stderr=log)
            self.wait_for(f"criu-lite {arguments[0]}", lambda: process.pid in self.statuses
                          or process.poll() is not None)
            log.seek(0)
            for line in log.read().decode(errors="replace").splitlines():
                self.note("  " + line)
        status = self.statuses.pop(process.pid, None)
        code = process.returncode if status is None else os.waitstatus_to_exitcode(status)
        process.returncode = code
        if code != 0:
            raise Failed(f"criu-lite {arguments[0]} " +
                         (f"exits with status {code}" if code > 0 else f"dies of signal {-code}"))

    def kill_tree(self):
        """Kills the program as kill -9 would, and waits until its pids are free."""
        left = harness.kill_descendants()
        if left:
            raise Failed(f"processes that cannot be killed: {left}")

    def expect_gone(self, members):
        """Fails unless every process {pid: start time} has ended and been reaped."""
        try:
            self.wait_for("the tree is still there", lambda: not any(
                harness.start_time(pid) == start for pid, start in members.items()))
        except Failed:
            left = {pid: (harness.read_text(f"/proc/{pid}/status") or "").split("\n")[:3]
                    for pid, start in members.items() if harness.start_time(pid) == start}
            raise Failed(f"still there after the checkpoint: {left}")

    def members(self):
        found = {pid: harness.start_time(pid) for pid in harness.tree(self.pid)}
        return {pid: start for pid, start in found.items() if start is not None}

    def target(self):
        """How criu-lite is told what to save: a program can name the cgroup that is all its own in
        the file "cgroup"."""
        cgroup = harness.read_text(self.path("cgroup"))
        return ["--cgroup", cgroup.strip()] if cgroup else ["-t", str(self.pid)]

    def checkpoint(self, *more):
        members = self.members()
        self.command("checkpoint", *self.target(), "-o", self.image, *more,
                     *self.wishes.get("checkpoint", "").split())
        self.verify()
        if not any(option.startswith("--leave") for option in more):
            self.expect_gone(members)

    def verify(self):
        if "verify" in known_commands():
            self.command("verify", self.image)

    def restore(self, image=None, **streams):
        between = self.wishes.get("between")
        if between and subprocess.run(between, shell=True, cwd=self.scratch).returncode:
            raise Failed(f"{between} failed")
        pidfile = self.path("pidfile")
        self.statuses.clear()
        self.command("restore", image or self.image, "--detach", "--pidfile", pidfile,
                     *self.wishes.get("options", "").split(), **streams)
        restored = (harness.read_text(pidfile) or "").strip()
        if restored != str(self.pid):
            raise Failed(f"restored as pid '{restored}', was {self.pid}")

    def look(self):
        return {} if "unsteady" in self.wishes else looks.look(self.pid)

    def steady_look(self):
        """Threads and children may be on their way yet to where they wait."""
        deadline = time.monotonic() + MOMENT
        before, now = None, self.look()
        while looks.difference(before or {}, now) and time.monotonic() < deadline:
            time.sleep(0.02)
            before, now = now, self.look()
        return now

    def compare(self, before):
        """Keeps what looks otherwise now; told when the program itself has found nothing. Threads
        may need a moment to get back into their calls, some of which change the signal mask."""
        deadline = time.monotonic() + MOMENT
        while True:
            changes = looks.difference(before, self.look(),
                                       self.wishes.get("ignore", "").split(","))
            if not changes or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        self.changes += changes

    def run_none(self):
        before = self.steady_look()
        time.sleep(0.05)
        self.compare(before)

    def run_restore(self):
        before = self.steady_look()
        self.checkpoint()
        self.restore()
        self.compare(before)

    def run_running(self):
        before = self.steady_look()
        self.checkpoint("--leave-running")
        self.compare(before)

    def run_snapshot(self):
        before = self.steady_look()
        self.checkpoint("--leave-running")
        self.kill_tree()
        self.restore()
        self.compare(before)

    def run_twice(self):
        self.run_restore()
        os.rename(self.image, self.path("image.first"))
        self.run_restore()

    def run_precopy(self):
        before = self.steady_look()
        self.checkpoint("--pre-copy")
        self.restore()
        self.compare(before)

    def run_pipe(self):
        with open(self.image, "wb") as image:
            collector = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=image)
            self.command("checkpoint", *self.target(), "-o", "-",
                         *self.wishes.get("checkpoint", "").split(), stdout=collector.stdin)
            collector.stdin.close()
            collector.wait()
        self.kill_tree()
        self.verify()
        with open(self.image, "rb") as image:
            feeder = subprocess.Popen(["cat"], stdin=image, stdout=subprocess.PIPE)
            self.restore("-", stdin=feeder.stdout)

    def run(self):
        """Returns the exit status that tells the runner."""
        try:
            harness.own(self.wishes.get("own", "").split(",") if "own" in self.wishes else [])
            self.start()
            early = self.verdict()
            if early and early.startswith("SKIP"):
                self.note(early.strip())
                return harness.SKIPPED
            if early:
                raise Failed(early.strip())
            if self.pid in self.statuses:
                raise Failed(f"the program ended before it was ready: {self.ending()}")
            getattr(self, "run_" + self.mode)()
            self.finish()
            self.wait_for("processes stay behind", lambda: not harness.children(os.getpid()))
            if self.changes:
                raise Failed("the tree looks otherwise than before:\n" + "\n".join(self.changes))
        except Failed as failure:
            self.note(str(failure))
            output = (harness.read_text(self.path("output")) or "").strip()
            if output and output not in str(failure):
                self.note("output: " + output)
            return 1
        finally:
            left = harness.kill_descendants()
        if left:
            self.note(f"processes that would not go: {left}")
        return 1 if left else 0


def wishes(program):
    """The "test:" lines in the program's source as {key: value}."""
    source = os.path.join(harness.ROOT, "tests/kinds", os.path.basename(program) + ".c")
    found = {}
    for line in re.findall(r"^/\* test: (.*) \*/$", harness.read_text(source) or "", re.M):
        key, _, value = line.partition("=")
        found[key] = value
    return found


known = []


def known_commands():
    """The words of criu-lite's own list of commands."""
    if not known:
        text = subprocess.run([harness.CRIU_LITE, "help"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True).stdout
        known.extend(re.findall(r"[a-z]+", text) or ["none"])
    return known


def run_case(program, mode):
    """Runs one case in a new process. Returns (exit status, diagnostics, scratch)."""
    scratch = tempfile.mkdtemp(prefix=f"criu-lite-{os.path.basename(program)}-{mode}-")
    os.chmod(scratch, 0o777)
    try:
        done = subprocess.run([sys.executable, os.path.abspath(__file__), "--case", program, mode,
                               scratch], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=10 * TIMEOUT)
        status, text = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, text = 1, (late.stdout or b"") + b"\nthe case itself hangs"
    return status, text.decode(errors="replace"), scratch


def report(number, title, outcome, keep):
    status, text, scratch = outcome
    if status == harness.SKIPPED:
        print(f"ok {number} - {title} # SKIP {text.strip().partition('SKIP: ')[2]}", flush=True)
    else:
        print(f"{'not ok' if status else 'ok'} {number} - {title}", flush=True)
    if status not in (0, harness.SKIPPED):
        lines = text.splitlines()
        cut = [f"… {len(lines) - DIAGNOSTICS} lines …"] if len(lines) > DIAGNOSTICS else []
        print("\n#   ".join([f"# {title}:", *lines[:DIAGNOSTICS], *cut]), file=sys.stderr, flush=True)
    if keep:
        print(f"# kept: {scratch}", file=sys.stderr, flush=True)
    else:
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", default=harness.BUILD)
    parser.add_argument("--mode", type=lambda text: text.split(","))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()

    harness.become_subreaper()
    # By their sources: a build directory may have programs that are no more.
    programs = [os.path.join(options.build, path[:-len(".c")]) for path in
                sorted(glob.glob("tests/kinds/*.c", root_dir=harness.ROOT))]
    if options.names:
        programs = [path for path in programs if os.path.basename(path) in options.names]
    cases = []
    for program in programs:
        wanted = wishes(program).get("modes")
        modes = wanted.split(",") if wanted else MODES
        cases += [(program, mode) for mode in options.mode or modes]
    if not cases:
        print("1..0 # SKIP no programs in tests/kinds")
        return 0
    print(f"1..{len(cases)}", flush=True)
    failures = number = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(run_case, *case): case for case in cases}
        for done in concurrent.futures.as_completed(running):
            program, mode = running[done]
            number += 1
            report(number, f"{os.path.basename(program)} {mode}", done.result(), options.keep)
            failures += done.result()[0] not in (0, harness.SKIPPED)
    left = harness.kill_descendants()
    if left:
        print(f"# processes that would not go: {left}", file=sys.stderr)
    return 1 if failures or left else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        harness.become_subreaper()
        sys.exit(Case(*sys.argv[2:5]).run())
    sys.exit(main())
