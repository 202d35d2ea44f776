#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stop from the terminal does not meet criu-lite while it holds a tree, but when that is over."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

STOPS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
SECONDS = 60
MOMENT = 0.1		# in which a stop would have taken effect
PROGRAM = "import sys, time; data = bytearray(16 << 20); open(sys.argv[1], 'w'); time.sleep(1000)"
PLAIN, NAMESPACES = [], ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


class Failed(Exception):
    pass


def wait_for(what, condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(what)
        time.sleep(0.002)


def state(pid):
    text = harness.read_text(f"/proc/{pid}/stat")
    return text.rpartition(")")[2].split()[0] if text else None


def group(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def is_held(pid):
    return re.search(r"^TracerPid:\t[1-9]", harness.read_text(f"/proc/{pid}/status") or "", re.M)


def start_program(scratch, prefix):
    """The pid of a program with some memory, in namespaces of its own or not."""
    ready = os.path.join(scratch, "ready")
    process = subprocess.Popen([*prefix, "/usr/bin/python3", "-c", PROGRAM, ready],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True,
                               preexec_fn=harness.reset_signals)
    wait_for("the program does not come up", lambda: os.path.exists(ready))
    os.unlink(ready)
    return harness.children(process.pid)[0] if prefix else process.pid


def start_criu_lite(errors, *words):
    """In a process group of its own, whose parent is in another one: such a group can be stopped."""
    return subprocess.Popen([harness.CRIU_LITE, *words], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=errors, preexec_fn=lambda: (
                                harness.reset_signals(), os.setpgid(0, 0)))


def stop(process):
    """Sends the stops; none of its processes may stop."""
    for number in STOPS:
        os.killpg(process.pid, number)
    time.sleep(MOMENT)
    states = {pid: state(pid) for pid in harness.tree(process.pid) if group(pid) == process.pid}
    if "T" in states.values() or process.pid not in states:
        raise Failed(f"it is stopped: {states}")


def finish(process, errors):
    """It stops now, and goes on to a good end."""
    wait_for("the stop is lost", lambda: state(process.pid) in ("T", "Z"))
    if state(process.pid) != "T":
        raise Failed("the stop did not take effect")
    os.killpg(process.pid, signal.SIGCONT)
    process.wait(SECONDS)
    errors.seek(0)
    if process.returncode:
        raise Failed(f"exit status {process.returncode}: {errors.read().decode()}")


def save(scratch, pid, image):
    """A checkpoint whose reader is slow."""
    pipe = os.path.join(scratch, "pipe")
    os.mkfifo(pipe)
    with tempfile.TemporaryFile() as errors:
        process = start_criu_lite(errors, "checkpoint", "-t", str(pid), "-o", pipe)
        with open(pipe, "rb") as data, open(image, "wb") as file:
            wait_for("the tree is not held", lambda: is_held(pid))
            stop(process)
            if not is_held(pid):
                raise Failed("the tree is not held any more")
            # Stopped, it still has its end of the pipe.
            reader = threading.Thread(target=shutil.copyfileobj, args=(data, file))
            reader.start()
            finish(process, errors)
            reader.join()
    os.unlink(pipe)
    subprocess.run([harness.CRIU_LITE, "verify", image], check=True, stdout=subprocess.DEVNULL)


def bring_back(scratch, image):
    """A restore whose writer is slow. Returns the pid of the program."""
    pipe, pidfile = os.path.join(scratch, "pipe"), os.path.join(scratch, "pid")
    os.mkfifo(pipe)
    with tempfile.TemporaryFile() as errors:
        process = start_criu_lite(errors, "restore", pipe, "--detach", "--pidfile", pidfile)
        with open(pipe, "wb") as file, open(image, "rb") as data:
            file.write(data.read(8 << 20))
            file.flush()
            stop(process)
            shutil.copyfileobj(data, file)
        finish(process, errors)
    os.unlink(pipe)
    return int(harness.read_text(pidfile))


def case(prefix):
    scratch = tempfile.mkdtemp(prefix="criu-lite-stop-")
    image = os.path.join(scratch, "image")
    try:
        save(scratch, start_program(scratch, prefix), image)
        pid = bring_back(scratch, image)
        wait_for("the program does not run", lambda: state(pid) == "S" and not is_held(pid))
    finally:
        left = harness.kill_descendants()
        shutil.rmtree(scratch)
    if left:
        raise Failed(f"processes stay: {left}")


def main():
    if os.geteuid():
        print("1..0 # SKIP needs root")
        return 0
    harness.become_subreaper()
    failures = 0
    cases = (("a plain tree", PLAIN), ("a tree in namespaces of its own", NAMESPACES))
    print(f"1..{len(cases)}", flush=True)
    for number, (name, prefix) in enumerate(cases, 1):
        try:
            case(prefix)
            print(f"ok {number} - {name}", flush=True)
        except Failed as why:
            failures += 1
            print(f"not ok {number} - {name}\n# {why}", flush=True)
    return 1 if failures else 0


sys.exit(main())
