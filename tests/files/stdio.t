#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard descriptors that led outside of the tree lead where restore --stdio says."""

import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness

COPIER = "while read -r line; do echo \"copy of $line\"; done; echo end"
checks = harness.Checks()


def ok(name, good, *notes):
    checks(good, name, *notes)


def criu_lite(name, *words, **streams):
    streams.setdefault("stdin", subprocess.DEVNULL)
    streams.setdefault("stdout", subprocess.DEVNULL)
    done = subprocess.run([harness.CRIU_LITE, *words], stderr=subprocess.PIPE, timeout=60,
                          **streams)
    ok(name, done.returncode == 0, done.stderr.decode())


def restore(name, image, *more, **streams):
    pidfile = image + ".pid"
    criu_lite(name, "restore", image, "--detach", "--pidfile", pidfile, *more, **streams)
    return int(harness.read_text(pidfile))


def wait_for_end(pid):
    return harness.wait_for(lambda: harness.reap({}) or not os.path.exists(f"/proc/{pid}"), 20)


def main():
    harness.become_subreaper()
    with tempfile.TemporaryDirectory(prefix="criu-lite-stdio-") as scratch:
        image, file = os.path.join(scratch, "image"), os.path.join(scratch, "file")
        program = subprocess.Popen(["/bin/sh", "-c", COPIER], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        program.stdin.write(b"first\n")
        program.stdin.flush()
        ok("it copies", program.stdout.readline() == b"copy of first\n")
        criu_lite("checkpoint", "checkpoint", "-t", str(program.pid), "-o", image)
        program.wait()

        mine, its_output = os.pipe()
        its_input, to_it = os.pipe()
        pid = restore("inherit: restore", image, stdin=its_input, stdout=its_output)
        os.close(its_input)
        os.close(its_output)
        os.write(to_it, b"second\n")
        ok("inherit: it goes on with ours", os.read(mine, 100) == b"copy of second\n")
        os.close(to_it)
        ok("inherit: it sees the end of the file", os.read(mine, 100) == b"end\n")
        ok("inherit: it ends", wait_for_end(pid))

        with open(file, "w") as out:
            out.write("kept\n")
        pid = restore("FILE: restore", image, "--stdio", file)
        ok("FILE: it ends", wait_for_end(pid))
        ok("FILE: appended to", harness.read_text(file) == "kept\nend\n", harness.read_text(file))

        pid = restore("null: restore", image, "--stdio", "null")
        ok("null: it reads nothing and ends", wait_for_end(pid))
        harness.kill_descendants()
    checks.plan()
    return checks.failed != 0


sys.exit(main())
