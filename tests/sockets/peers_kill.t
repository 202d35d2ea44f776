#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: peers_kill.t [KILLS [SEED]]

However criu-lite is killed while it saves or restores a program, the program's connections live on:
with the program, or with a restore of the image."""

import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
import harness
from peers import PORT, SERVER4, SERVER6, TIMEOUT, Program, Stream, main, test

KILLS = int(sys.argv[1]) if len(sys.argv) > 1 else 300 if os.environ.get("SOAK") else 16
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())


def kill_after(chance, longest, *arguments):
    """Runs criu-lite and kills it, perhaps after it has ended. Returns whether it had."""
    with open(chance.log, "a") as log:
        process = subprocess.Popen([harness.CRIU_LITE, *arguments], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
    try:
        process.wait(random.uniform(0, longest))
        return process.returncode == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


class Cgroup:
    """In which a program waits while the guard cleans up behind a killed criu-lite."""

    def __init__(self):
        for line in harness.read_text("/proc/self/mountinfo").splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split()[:3]
            if kind == "cgroup2" or "freezer" in options.split(","):
                self.path = os.path.join(before.split()[4], f"criu-lite-peers-{os.getpid()}")
        os.mkdir(self.path)

    def enter(self, pid):
        with open(os.path.join(self.path, "cgroup.procs"), "w") as file:
            file.write(str(pid))

    def remove(self):
        os.rmdir(self.path)


def tables():
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout


def settled(program):
    """Waits until the guard has done its work. Whether the program lives."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        harness.reap({})
        guards = [pid for pid in harness.tree(os.getpid())[1:]
                  if (harness.read_text(f"/proc/{pid}/comm") or "").startswith("criu-lite")]
        if not guards:
            break
        time.sleep(0.002)
    else:
        raise TimeoutError("a guard stays")
    harness.reap({})
    return program.alive()


def bring_back(program, took):
    """Restores it, with some restores killed on the way."""
    while kills_left(program):
        if kill_after(program, 1.2 * took, "restore", program.image, "--detach"):
            break
        if settled(program):	# let go, but not reported any more
            break
    else:
        program.restore()
    settled(program)
    return program.alive()


def kills_left(program):
    program.kills -= 1
    return program.kills > 0


def kills(networks, scratch):
    random.seed(SEED)
    print(f"# seed {SEED}")
    program = Program(scratch, PORT)
    program.kills = KILLS
    cgroup = Cgroup()
    cgroup.enter(program.pid)
    streams = [Stream(networks, program, "v4", SERVER4), Stream(networks, program, "v6", SERVER6)]
    begin = time.monotonic()
    test("checkpoint", program.checkpoint(), harness.read_text(program.log))
    middle = time.monotonic()
    test("restore", program.restore(), harness.read_text(program.log))
    cgroup.enter(program.pid)
    saving, restoring = middle - begin, time.monotonic() - middle
    seen = {"lived": 0, "restored": 0}
    while kills_left(program):
        if os.path.exists(program.image):
            os.unlink(program.image)
        kill_after(program, 1.2 * saving, "checkpoint", "-t", str(program.pid), "-o",
                   program.image)
        lives = settled(program)
        seen["lived" if lives else "restored"] += 1
        if lives and "table" in tables():
            test("no lock stays", False, tables())
            break
        if not lives and not test("the image is whole", os.path.exists(program.image)):
            break
        if not lives and not test("it comes back", bring_back(program, restoring),
                                  harness.read_text(program.log)):
            break
        cgroup.enter(program.pid)
        if not all(stream.flows() for stream in streams):
            test("bytes flow", False, [stream.receiver.problem for stream in streams],
                 harness.read_text(program.log), tables())
            break
    print(f"# {seen}")
    for stream in streams:
        stream.end()
        print(f"# {stream.name}: longest silence {stream.receiver.silence:.3f}")
    test("no reset was seen", not networks.resets, networks.resets)
    program.end()
    harness.kill_descendants()
    cgroup.remove()


sys.exit(main(kills))
