# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests with hosts and containers (tests/containers/*.t, tests/migrate/*.t), which begin with

    #!/usr/bin/python3
    # SPDX-License-Identifier: GPL-2.0-or-later
    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hosts"))
    import scenery

    def case(world):
        \"\"\"The behaviour that is proven.\"\"\"

    scenery.run(case, …)

Each case has a world of its own; an exception fails it. SOAK=1 asks for the long version."""

import json
import os
import shutil
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
import hosts

SOAK = bool(os.environ.get("SOAK"))


class Skip(Exception):
    """This machine lacks something; the text says what."""


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=hosts.PATH):
            raise Skip(f"no {program} here")


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def contains(what, text, wanted):
    if wanted not in text:
        raise AssertionError(f"{what}: {wanted!r} is not in {text!r}")


def note(text):
    """A line for who reads the output of a test."""
    print(f"# {text}", flush=True)


PORT = 7400


class Migration:
    """`criu-lite receive` on one host and `criu-lite migrate`, with this environment, on another,
    which connects to `where` when it is not the first itself."""

    def __init__(self, container, to, options=(), receive_options=(), where=None, once=True,
                 **environment):
        self.container, self.to = container, to
        self.key = f"{to.world.scratch}/key"
        if not os.path.exists(self.key):
            with open(os.open(self.key, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                file.write(os.urandom(32).hex() + "\n")
        self.texts = [tempfile.TemporaryFile() for _ in range(3)]
        self.receiver = to.start(
            [harness.CRIU_LITE, "receive", "--listen", f"{to.address4}:{PORT}",
             *(["--once"] if once else []), "--psk-file", self.key, *receive_options],
            stdout=self.texts[0], stderr=self.texts[0])
        hosts.wait_for(self.listens, lambda: f"receive does not listen: {self.text(0)}")
        self.sender = container.host.start(
            [harness.CRIU_LITE, "migrate", "--container", f"runc:{container.identity}",
             where or f"{to.address4}:{PORT}", "--psk-file", self.key, "--json", *options],
            stdout=self.texts[1], stderr=self.texts[2], **environment)

    def listens(self):
        """Looks without a connection, which would be the one that --once is about."""
        wanted = f":{PORT:04X} 00000000:0000 0A"
        return self.receiver.poll() is not None or \
            wanted in (harness.read_text(f"/proc/{self.to.pid}/net/tcp") or "")

    def receiver_code(self):
        """None when it still waits for a source."""
        try:
            return self.receiver.wait(30)
        except TimeoutError:
            self.receiver.kill()
            return None

    def text(self, number):
        self.texts[number].seek(0)
        return self.texts[number].read().decode(errors="replace")

    def finish(self):
        """Waits for both ends, which must succeed. The container is on the other host then.
        Returns the report of the source."""
        codes = self.sender.wait(), self.receiver_code()
        said = f"migrate says: {self.text(1)}{self.text(2)}\nreceive says: {self.text(0)}"
        same(f"exit codes of migrate and receive ({said})", codes, (0, 0))
        source, self.container.host = self.container.host, self.to
        same("status on the destination", self.container.status(), "running")
        self.container.gone_from(source)
        return json.loads(self.text(1))


def migrate(container, to, options=(), receive_options=()):
    """Moves a container to another host."""
    return Migration(container, to, options, receive_options).finish()


def checkpoint(container, image, *options):
    """Saves a container; nothing of it runs then."""
    pids = container.processes()
    host = container.host
    host.run([harness.CRIU_LITE, "checkpoint", "--container", f"runc:{container.identity}",
              "-o", image, *options])
    host.run([harness.CRIU_LITE, "verify", image])
    if "--leave-running" not in options:
        hosts.wait_for(lambda: not [pid for pid in pids if os.path.exists(host.path(f"/proc/{pid}"))],
                       "processes are left", 20)


def restore(container, image, *options):
    """Brings it back where it was."""
    container.host.run([harness.CRIU_LITE, "restore", image, "--detach", *options])
    same("status after the restore", container.status(), "running")


def run_case(case):
    try:
        need("runc", "ip", "nsenter")
        with hosts.World() as world:
            case(world)
    except Skip as reason:
        return f" # SKIP {reason}", True
    except BaseException:
        print("# " + traceback.format_exc().rstrip().replace("\n", "\n# "), file=sys.stderr,
              flush=True)
        return "", False
    return "", True


def run(*cases):
    """Runs the cases, or those that the command line names, and ends the process."""
    if "REAPED" not in os.environ:
        os.environ["REAPED"] = "1"
        os.execv(harness.ROOT + "/tests/reaper", ["reaper", sys.executable, *sys.argv])
    os.environ["PATH"], os.environ["LC_ALL"] = hosts.PATH, "C"
    if os.geteuid():
        print("1..0 # SKIP needs root")
        sys.exit(0)
    harness.become_subreaper()
    chosen = [case for case in cases if not sys.argv[1:] or case.__name__ in sys.argv[1:]]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for number, case in enumerate(chosen, 1):
        remark, passed = run_case(case)
        left = harness.kill_descendants()
        if left:
            note(f"processes that would not go: {left}")
        passed = passed and not left
        failed += not passed
        text = " ".join(case.__doc__.split()).rstrip(".")
        print(f"{'ok' if passed else 'not ok'} {number} - {case.__name__}: {text}{remark}",
              flush=True)
    sys.exit(failed != 0)
