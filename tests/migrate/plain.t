#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A plain process tree moves to another pid namespace and back; what cannot move is not touched."""

import fcntl
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from worlds import Failed, Receiver, Scene, migrate, run, wait_for


def there_and_back():
    """A program moves there and back again."""
    with Scene() as scene:
        here, there = scene.worlds
        with Receiver(there) as there_listens, Receiver(here) as here_listens:
            for _ in range(2):
                report = migrate(here, "-t", scene.counter.pid, there_listens.where, "--json")
                scene.expect_at(there)
                if not report["runs_there"] or report["downtime_ns"]["all"] <= 0:
                    raise Failed(f"the report: {report}")
                migrate(there, "-t", scene.counter.pid, here_listens.where,
                        "--compress", "zstd")
                scene.expect_at(here)
        scene.expect_clean()


def taken():
    """A process id that is taken is a reason, named before anything is touched."""
    with Scene() as scene:
        here, there = scene.worlds
        with Receiver(there) as listens:
            migrate(here, "-t", scene.counter.pid, listens.where)
            scene.expect_at(there)
            with Receiver(there) as again:
                words = migrate(there, "-t", scene.counter.pid, again.where, expect=3)
        if f"process id {scene.counter.pid}" not in words or "taken" not in words:
            raise Failed("it says: " + words)
        scene.expect_at(there)
        scene.expect_clean()


def forgotten():
    """A record whose source could not say that it knows goes with the next that comes from it, and
    only if nobody may ask about it."""
    with Scene() as scene:
        here, there = scene.worlds
        with Receiver(there, CRIU_LITE_FAULT="receive-running:cut") as listens:
            migrate(here, "-t", scene.counter.pid, listens.where, expect=None)
            scene.expect_at(there)
        kept = there.records()
        if not [name for name in kept if name.endswith(".destination.json")]:
            raise Failed(f"no record stays: {kept}")
        # The same from somebody else, and one that this source may still ask about.
        wait_for("", lambda: not here.records())
        identity = kept[0].split(".")[0]
        pending = f"{here.state}/{identity}.source.json"
        with Receiver(here) as listens:
            migrate(there, "-t", scene.counter.pid, listens.where)
            scene.expect_at(here)
        with open(pending, "w") as file:
            file.write("{}")
        with Receiver(there) as there_listens, Receiver(here) as here_listens:
            migrate(here, "-t", scene.counter.pid, there_listens.where)
            if not [name for name in there.records() if name.startswith(identity)]:
                raise Failed("a record that its source may ask about has gone")
            migrate(there, "-t", scene.counter.pid, here_listens.where)
            os.unlink(pending)
            # Nobody else's word counts.
            os.rename(f"{here.state}/destination", f"{here.state}/hidden")
            migrate(here, "-t", scene.counter.pid, there_listens.where)
            if not [name for name in there.records() if name.startswith(identity)]:
                raise Failed("a record has gone on another's word")
            migrate(there, "-t", scene.counter.pid, here_listens.where)
            os.rename(f"{here.state}/hidden", f"{here.state}/destination")
            migrate(here, "-t", scene.counter.pid, there_listens.where)
        scene.expect_at(there)
        scene.expect_clean()


def leftovers():
    """What others left that were killed before they had a record goes, and nothing else."""
    with Scene() as scene:
        here, there = scene.worlds
        os.makedirs(there.state, 0o700)

        def make(number, *suffixes):
            paths = [f"{there.state}/{number:032x}.destination.{suffix}" for suffix in suffixes]
            for path in paths:
                with open(path, "w"):
                    pass
            return paths

        gone = [*make(1, "lock", "json.part"), *make(2, "lock")]
        stay = [*make(3, "lock", "json.part"), *make(4, "lock", "json")]
        with open(stay[0], "r+") as held, Receiver(there) as listens:
            fcntl.flock(held, fcntl.LOCK_EX)
            migrate(here, "-t", scene.counter.pid, listens.where)
            scene.expect_at(there)
        left = sorted(f"{there.state}/{name}" for name in there.records())
        if left != sorted(stay):
            raise Failed(f"{left}, not {stay} of {gone + stay}")
        for path in stay:
            os.unlink(path)
        scene.expect_clean()


sys.exit(run([there_and_back, taken, leftovers, forgotten]))
