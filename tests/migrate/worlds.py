# SPDX-License-Identifier: GPL-2.0-or-later
"""Two pid namespaces of one machine that a process tree moves between, and what the tests of
migration share."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import harness

COUNTER = os.path.join(harness.ROOT, "tests/programs/counter.py")
CHECK = os.path.join(harness.ROOT, "tests/programs/check_counter.py")
PYTHON = "/usr/bin/python3"
SECONDS = 20


class Failed(Exception):
    """A test has failed; the text says how."""


def wait_for(what, condition, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(what)
        time.sleep(0.005)


def end_with_parent():
    """In a child: whatever ends this test ends its worlds."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class World:
    """A pid namespace with its own /proc and its own state directory."""

    def __init__(self, scratch, name):
        self.state = os.path.join(scratch, "state." + name)
        self.init = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable,
             os.path.join(HERE, "world_init.py")], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, preexec_fn=end_with_parent)
        if self.init.stdout.readline() != b"up\n":
            raise Failed(f"world {name} does not come up")
        self.pid = harness.children(self.init.pid)[0]

    def end(self):
        self.init.kill()
        self.init.wait()
        self.init.stdout.close()

    def start(self, *words, **options):
        """Starts a program in here; the Popen is nsenter's, which ends as the program does."""
        environment = {**os.environ, **options.pop("environment", {})}
        return subprocess.Popen(["nsenter", "-t", str(self.pid), "-p", "-m", *words],
                                env=environment, **options)

    def processes(self):
        """{pid in here: command name} of all but the first process."""
        found = {}
        proc = f"/proc/{self.pid}/root/proc"
        for entry in os.listdir(proc):
            if entry.isdigit() and entry != "1":
                comm = harness.read_text(f"{proc}/{entry}/comm")
                status = harness.read_text(f"{proc}/{entry}/stat")
                if comm and status and status.rpartition(")")[2].split()[0] != "Z":
                    found[int(entry)] = comm.strip()
        return found

    def records(self):
        try:
            return sorted(name for name in os.listdir(self.state) if name != "destination")
        except FileNotFoundError:
            return []


class Counter:
    """The program that moves: it writes a log that shows whether it ever stopped, lost its memory,
    or ran twice."""

    PID = 700

    def __init__(self, scratch, world):
        self.log = os.path.join(scratch, "log")
        script = (f"echo {self.PID - 1} >/proc/sys/kernel/ns_last_pid; "
                  f"setsid {PYTHON} {COUNTER} {self.log} </dev/null >/dev/null 2>&1 &")
        world.start("sh", "-c", script).wait()
        wait_for("the counter does not start", lambda: self.lines() > 3)
        found = [pid for pid, name in world.processes().items() if name == "python3"]
        if len(found) != 1:
            raise Failed(f"the counter is {found}")
        self.pid = found[0]

    def lines(self):
        try:
            with open(self.log, "rb") as log:
                return log.read().count(b"\n")
        except FileNotFoundError:
            return 0

    def is_in(self, world):
        return world.processes().get(self.pid) == "python3"

    def check(self):
        """Fails unless it counts, and has always counted."""
        before = self.lines()
        wait_for("the counter does not go on", lambda: self.lines() > before + 10)
        done = subprocess.run([PYTHON, CHECK, self.log], check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode:
            raise Failed("the log is wrong: " + done.stdout.decode())


class Receiver:
    """criu-lite receive in a world; .where is its address."""

    def __init__(self, world, *words, **environment):
        self.world = world
        self.errors = tempfile.TemporaryFile()
        self.process = world.start(harness.CRIU_LITE, "receive", "--listen", "127.0.0.1:0",
                                   "--state-dir", world.state, *words, environment=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=self.errors)
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on "):
            raise Failed("receive says: " + line + self.words())
        self.where = line.split()[-1]

    def words(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def end(self):
        """Ends it, and all that nsenter has started of it."""
        for pid in harness.tree(self.process.pid)[1:]:
            try:
                if harness.read_text(f"/proc/{pid}/comm") == "criu-lite\n":
                    os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        self.process.wait(SECONDS)
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def migrate(world, *words, expect=0, seconds=60, **environment):
    """Runs criu-lite migrate; returns its words, or with --json the report."""
    process = world.start(harness.CRIU_LITE, "migrate", "--state-dir", world.state,
                          *[str(word) for word in words], environment=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        for pid in reversed(harness.tree(process.pid)):
            os.kill(pid, signal.SIGKILL)
        out, errors = process.communicate()
        raise Failed(f"migrate hangs: {out.decode()} {errors.decode()}") from None
    if expect is not None and process.returncode != expect:
        raise Failed(f"migrate: exit status {process.returncode}, not {expect}: "
                     f"{out.decode()} {errors.decode()}")
    if "--json" in words and process.returncode == 0:
        return json.loads(out)
    return out.decode() + errors.decode()


def cells():
    """Freezer cgroups that criu-lite has made and not removed."""
    found = []
    for directory, below, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(directory, name) for name in below
                  if re.fullmatch(r"criu-lite-[0-9a-f]{12}(-in)?", name)]
    return found


class Scene:
    """Two worlds and a counter in the first."""

    def __init__(self, count=2):
        harness.become_subreaper()
        self.cells = set(cells())
        self.scratch = tempfile.mkdtemp(prefix="criu-lite-migrate-")
        self.worlds = [World(self.scratch, str(i)) for i in range(count)]
        self.counter = Counter(self.scratch, self.worlds[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for world in self.worlds:
            world.end()
        harness.kill_descendants()
        shutil.rmtree(self.scratch)

    def expect_at(self, here):
        """The counter runs in this world, is whole, and nothing of it is anywhere else."""
        for world in self.worlds:
            if world is not here:
                wait_for("it is in two places", lambda: not self.counter.is_in(world))
        if not self.counter.is_in(here):
            raise Failed(f"it is not there: {[world.processes() for world in self.worlds]}")
        self.counter.check()

    def expect_clean(self):
        """No record and no cgroup is left."""
        wait_for("records stay", lambda: not any(world.records() for world in self.worlds))
        try:
            wait_for("", lambda: set(cells()) <= self.cells)
        except Failed:
            raise Failed(f"cgroups stay: {set(cells()) - self.cells}") from None


def run(tests):
    """The TAP of functions: the first line of each's text is the test's name."""
    if os.geteuid():
        print("1..0 # SKIP needs root")
        return 0
    print(f"1..{len(tests)}", flush=True)
    failures = 0
    for number, test in enumerate(tests, 1):
        name = test.__doc__.splitlines()[0].rstrip(".")
        try:
            test()
            print(f"ok {number} - {name}", flush=True)
        except Failed as why:
            failures += 1
            print(f"not ok {number} - {name}", flush=True)
            print("# " + str(why).replace("\n", "\n# "), file=sys.stderr, flush=True)
    return 1 if failures else 0
