#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever fails at whatever point of a migration, on either side: the tree runs on exactly one."""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worlds import Failed, Receiver, Scene, harness, migrate, wait_for

RUNS = 100 if os.environ.get("SOAK") else 5	# at each point
SOURCE = ["migrate-connect", "migrate-hello", "migrate-requirements", "migrate-cell",
          "migrate-image", "hold", "pages", "migrate-sealed", "migrate-ready",
          "migrate-recorded", "migrate-bound", "migrate-committed", "migrate-running", "release"]
DESTINATION = ["receive-hello", "receive-verdict", "receive-image", "puppets", "seal",
               "receive-cell", "receive-complete", "receive-ready", "receive-commit",
               "receive-decide", "decide:after", "receive-went", "receive-running"]
KINDS = [":kill", ":reset", ":cut", ""]
# Steps know only two kinds of faults.
STEPS = {"migrate-connect", "migrate-cell", "hold", "pages", "release", "puppets", "seal",
         "decide:after"}
# Here the tree has moved, and the source may well know.
OVER = {"migrate-running", "release", "decide:after", "receive-went", "receive-running"}


def runs_in(scene):
    """The worlds in which the counter is, running or frozen."""
    return [world for world in scene.worlds if scene.counter.is_in(world)]


def is_running(scene):
    before = scene.counter.lines()
    try:
        wait_for("", lambda: scene.counter.lines() > before + 2, 0.1)
    except Failed:
        return False
    return True


def clears_up(world):
    """Where one was ended before it had a record, the next one clears up behind it."""
    names = world.records()
    if all(name[:-4] + "json" in names for name in names if name.endswith(".lock")):
        return True
    world.start(harness.CRIU_LITE, "receive", "--state-dir", world.state, "--resolve", "0" * 32,
                stdout=-1, stderr=-1).communicate(timeout=20)
    return False


def resolve(scene, source, destination):
    """What a person does where a program was killed: asks again, on the side of the source."""
    for record in source.records():
        if record.endswith(".source.json"):
            with Receiver(destination, "--timeout", "2") as listens:
                migrate(source, "--resolve", record.split(".")[0], listens.where, "--timeout", "2",
                        expect=None)
    for record in destination.records():
        if record.endswith(".destination.json"):
            done = destination.start(harness.CRIU_LITE, "receive", "--state-dir",
                                     destination.state, "--resolve", record.split(".")[0],
                                     stdout=-1, stderr=-1)
            words = b"".join(done.communicate(timeout=20))
            if done.returncode:
                raise Failed("receive --resolve: " + words.decode())
    wait_for("a lock without a record stays", lambda: clears_up(destination))


def forget(scene, home):
    """The record of a tree that came and whose source could not say that it knows stays."""
    for name in home.records():
        if ".destination." not in name:
            raise Failed(f"a record stays: {name}")
        os.unlink(os.path.join(home.state, name))


def one(scene, side, point, kind):
    """One migration with a fault."""
    source = runs_in(scene)[0]
    destination = [world for world in scene.worlds if world is not source][0]
    at = {"source": {}, "destination": {}, side: {"CRIU_LITE_FAULT": point + kind}}
    with Receiver(destination, "--timeout", "2", **at["destination"]) as listens:
        words = migrate(source, "-t", scene.counter.pid, listens.where, "--timeout", "2",
                        expect=None, **at["source"])
        if "run there\n" in words and point not in OVER:
            raise Failed("the fault did not happen")
        try:
            wait_for("", lambda: len(runs_in(scene)) == 1 and is_running(scene), 0.2)
        except Failed:
            pass
    try:
        resolve(scene, source, destination)
        wait_for("it is not in exactly one place", lambda: len(runs_in(scene)) == 1)
        home = runs_in(scene)[0]
        scene.expect_at(home)
        forget(scene, home)
        scene.expect_clean()
    except Failed as why:
        where = [world.processes() for world in scene.worlds]
        records = [world.records() for world in scene.worlds]
        raise Failed(f"{point}{kind}: {why}: {where} {records}\nmigrate said: {words}") from None


def main():
    if os.geteuid():
        print("1..0 # SKIP needs root")
        return 0
    points = [("source", point) for point in SOURCE]
    points += [("destination", point) for point in DESTINATION]
    points = [where for where in points if not sys.argv[1:] or where[1] in sys.argv[1:]]
    random.shuffle(points)
    print(f"1..{len(points)}", flush=True)
    failures = 0
    scene = Scene()
    for number, (side, point) in enumerate(points, 1):
        kinds = [":kill", ""] if point in STEPS else KINDS
        try:
            for run in range(RUNS):
                one(scene, side, point, kinds[run % len(kinds)])
            print(f"ok {number} - {side}: {point}", flush=True)
        except Failed as why:
            failures += 1
            print(f"not ok {number} - {side}: {point}", flush=True)
            print("# " + str(why).replace("\n", "\n# "), file=sys.stderr, flush=True)
            scene.__exit__()
            scene = Scene()
    scene.__exit__()
    return 1 if failures else 0


sys.exit(main())
