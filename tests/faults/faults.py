# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of failures share: the programs of tests/kinds, and what must not stay behind."""

import concurrent.futures
import glob
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import harness

AT_ONCE = 2
CASE_SECONDS = 1200


def load_kinds():
    """tests/kinds.t, a script, as a module."""
    loader = importlib.machinery.SourceFileLoader("kinds", os.path.join(HERE, "../kinds.t"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("kinds", loader))
    loader.exec_module(module)
    return module


kinds = load_kinds()


def machine(scratch):
    """What a restore can leave behind outside of processes and files. The program tells in its
    scratch directory which cgroups it has."""
    cgroups = (harness.read_text(f"{scratch}/cgroups") or "").split()
    found = {"cgroups": [path for path in cgroups if os.path.exists(path)]}
    for table in ("msg", "sem", "shm"):
        lines = (harness.read_text(f"/proc/sysvipc/{table}") or "").splitlines()[1:]
        found[table] = sorted(" ".join(line.split()[:3]) for line in lines)
    return found


# A build with sanitizers must not end as if it had refused something.
SANITIZERS = {name: os.environ.get(name, "") + ":detect_leaks=0:exitcode=99"
              for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")}


class Case(kinds.Case):
    """A program that is mistreated; it has an IPC namespace of its own."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        own = set(self.wishes.get("own", "").split(",")) - {""} | {"ipc"}
        self.wishes["own"] = ",".join(sorted(own))
        self.where = "before"

    def note(self, text):
        if not text.startswith("$ "):
            print(f"{self.where}: {text}", flush=True)

    def files(self):
        """All below the scratch directory but what the tests make themselves."""
        own = {"image", "forged", "log", "output", "ready", "pidfile", "result"}
        found = {os.path.relpath(path, self.scratch)
                 for path in glob.glob(self.scratch + "/**", recursive=True, include_hidden=True)}
        return sorted(found - own - {"."})

    def between(self):
        """What the program wants to be done once it is gone."""
        command = self.wishes.get("between")
        if command and subprocess.run(command, shell=True, check=False,
                                      cwd=self.scratch).returncode:
            raise kinds.Failed(f"{command} failed")

    def criu_lite(self, *words, **environment):
        """Runs it; returns its exit status, negative for a signal, and its words."""
        with open(self.path("log"), "w+b") as log:
            process = subprocess.Popen([harness.CRIU_LITE, *words], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log,
                                       env={**os.environ, **SANITIZERS, **environment})
            try:
                code = process.wait(kinds.TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise kinds.Failed(f"criu-lite {words[0]} hangs") from None
            log.seek(0)
            return code, log.read().decode(errors="replace")

    def settle(self):
        """Guards end, and zombies are collected."""
        self.wait_for("a guard does not end", lambda: not any(
            harness.read_text(f"/proc/{pid}/comm") in ("criu-lite-guard\n", "criu-lite\n")
            for pid in harness.children(os.getpid())))

    def expect_nothing(self, files, outside):
        """Fails unless no process is there, and files and IPC objects are these."""
        def same():
            return not harness.children(os.getpid()) and machine(self.scratch) == outside

        try:
            self.settle()
            self.wait_for("something stays behind", same)
        except kinds.Failed:
            raise kinds.Failed(f"processes {harness.tree(os.getpid())[1:]}; "
                               f"{outside} has become {machine(self.scratch)}") from None
        left = self.files() + ["pidfile"] * os.path.exists(self.path("pidfile"))
        if left != files:
            raise kinds.Failed(f"files: {files} has become {left}")


def run_case(script, name, before=()):
    """Runs `script --case name scratch` in a process of its own, behind the words of `before`.
    Returns (exit status, diagnostics)."""
    scratch = tempfile.mkdtemp(prefix=f"criu-lite-faults-{name}-")
    os.chmod(scratch, 0o777)
    try:
        done = subprocess.run([*before, sys.executable, os.path.abspath(script), "--case", name,
                               scratch], check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=CASE_SECONDS)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return 1, (late.stdout or b"").decode(errors="replace") + "\nthe case itself hangs"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def run_all(script, names, title, before=()):
    """The TAP of all cases; returns the exit status. What a case that succeeds prints behind "# "
    is shown."""
    if os.geteuid():
        print("1..0 # SKIP needs root")
        return 0
    harness.become_subreaper()
    print(f"1..{len(names)}", flush=True)
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(lambda name: run_case(script, name, before), names)
        for number, (name, (status, text)) in enumerate(zip(names, outcomes), 1):
            if status == harness.SKIPPED:
                print(f"ok {number} - {name} # SKIP {text.strip()}", flush=True)
                continue
            print(f"{'not ok' if status else 'ok'} {number} - {title} {name}", flush=True)
            lines = text.strip().splitlines()
            if status:
                failures += 1
                print("# " + "\n# ".join(lines), file=sys.stderr, flush=True)
            else:
                for line in lines:
                    if line.startswith("# "):
                        print(line, flush=True)
    return 1 if failures or harness.kill_descendants() else 0
