#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of containers that were forged: what they say of namespaces that they do not make would
be done to the machine. They are refused, or restored but for letting them run, and the machine is
as before.

    damaged_containers.t [--seed N]

All this runs in namespaces of its own, which stand for the machine."""

import os
import random
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..")]
import forge
import harness

FORGERIES = 1000 if os.environ.get("SOAK") else 60
DAMAGED = 5
REFUSALS = {1, 3, 4, 5}
FIRST, LAST, NAMESPACES = 0x200, 0x23f, 0x200
SANDBOX = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--mount-proc",
           "--kill-child"]
CONTAINER = """
hostname inside
mount -t tmpfs none /mnt && echo content >/mnt/file
ip link set lo up; ip address add 10.9.8.7/24 dev lo; ip route add 10.7.0.0/16 dev lo
ip link add br0 type bridge; ip neighbour add 10.9.8.9 lladdr 02:00:00:00:00:09 dev br0
echo 1 >/proc/sys/net/ipv4/ip_forward
nft add table ip filter_of_it 2>/dev/null
echo done >"$1"; exec sleep 1000
"""


def machine():
    """What of it a restore could change."""
    def said(*words):
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=False).stdout

    return {"host name": os.uname()[1], "mounts": harness.read_text("/proc/self/mountinfo"),
            "links": said("ip", "link"), "addresses": said("ip", "-o", "address"),
            "routes": said("ip", "route"), "neighbours": said("ip", "neighbour"),
            "rules": said("ip", "rule"), "filter": said("nft", "list", "ruleset"),
            "forwarding": harness.read_text("/proc/sys/net/ipv4/ip_forward"),
            "processes": [pid for pid in harness.tree(os.getpid())[1:]]}


def criu_lite(*words, **environment):
    """Its exit status and words."""
    done = subprocess.run([harness.CRIU_LITE, *words], stdin=subprocess.DEVNULL, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
                          env={**os.environ, **environment}, check=False)
    return done.returncode, done.stdout


class Forger:
    def __init__(self, scratch):
        self.image, self.forged = f"{scratch}/image", f"{scratch}/forged"
        self.data = b""

    def save(self, options):
        ready = self.image + ".ready"
        container = subprocess.Popen(["unshare", "-p", "-f", "-m", "--mount-proc", "-n", "-u", "-i",
                                      "-C", "sh", "-c", CONTAINER, "sh", ready],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, preexec_fn=harness.reset_signals)
        deadline = time.monotonic() + 60
        while not os.path.exists(ready) and time.monotonic() < deadline:
            time.sleep(0.01)
        code, said = criu_lite("checkpoint", "-t", str(harness.children(container.pid)[0]), "-o",
                               self.image, *options)
        container.wait()
        if code:
            raise RuntimeError(said)
        os.unlink(ready)
        with open(self.image, "rb") as file:
            self.data = file.read()
        self.before = machine()

    def records(self):
        return forge.parse(self.data)

    def attempt(self, records, outcomes=frozenset(REFUSALS)):
        """What is wrong with how the restore of these records went."""
        with open(self.forged, "wb") as file:
            file.write(forge.build(self.data[:forge.PREAMBLE], records))
        verified, said = criu_lite("verify", self.forged)
        if verified not in {0, 3, DAMAGED}:
            return f"verify: exit status {verified}: {said}"
        code, said = criu_lite("restore", self.forged, "--detach", CRIU_LITE_FAULT="go")
        deadline = time.monotonic() + 10
        while (now := machine()) != self.before and time.monotonic() < deadline:
            harness.reap({})
            time.sleep(0.02)
        changed = [name for name in now if now[name] != self.before[name]]
        if changed:
            return f"changed: {changed}, {[now[name] for name in changed]}: {said}"
        return "" if code in outcomes else f"restore: exit status {code}: {said}"


def is_row(record):
    return FIRST <= record.kind <= LAST


def without(records, bits):
    """The tree claims not to have these namespaces."""
    for record in records:
        if record.kind == NAMESPACES:
            fields = [[number, wire, value & ~bits if number == 1 else value]
                      for number, wire, value in forge.parse_message(record.payload)]
            record.payload = forge.build_message(fields)
            record.size = len(record.payload)
    return records


def change_row(records, pick):
    at = pick.choice([at for at, record in enumerate(records) if is_row(record)])
    if pick.random() < 0.1:
        return f"record of kind {records.pop(at).kind:#x} left out"
    old = records[at]
    try:
        payload = forge.change_message(old.payload, pick)
    except (ValueError, IndexError):
        payload = forge.change_bytes(old.payload, pick)
    records[at] = forge.Record(old.kind, 0, old.flags, payload, len(payload))
    return f"record {at} of kind {old.kind:#x}: another message"


def test(forger, checks, pick, options):
    def tell(wrong, what):
        checks(not wrong, what, wrong)

    forger.save(options)
    words = " ".join(options)
    code, said = criu_lite("verify", forger.image)
    tell(said if code else forger.attempt(forger.records(), {1}), f"the whole image {words}")
    tell(forger.attempt([record for record in forger.records() if record.kind != NAMESPACES],
                        {DAMAGED}), f"no namespaces at all {words}")
    for name, bit in (("mount", 0x20000), ("network", 0x40000000), ("UTS", 0x4000000),
                      ("IPC", 0x8000000), ("pid", 0x20000000), ("all", 0x7e020000)):
        tell(forger.attempt(without(forger.records(), bit),
                            REFUSALS if name == "pid" else {DAMAGED}),
             f"no {name} namespace {words}")
    for kind in sorted({record.kind for record in forger.records() if is_row(record)}):
        kept = [record for record in forger.records() if record.kind != kind]
        tell(forger.attempt(kept), f"without records {kind:#x} {words}")
        last = [at for at, record in enumerate(forger.records()) if record.kind == kind][-1]
        kept = forger.records()
        del kept[last]
        if options:
            tell(forger.attempt(kept), f"without the last record {kind:#x} {words}")
    wrong = ""
    for number in range(FORGERIES):
        records = forger.records()
        what = change_row(records, pick)
        found = forger.attempt(records)
        if found:
            wrong += f"forgery {number}, {what}: {found}\n"
    tell(wrong.strip(), f"{FORGERIES} forgeries {words}")


def main():
    if os.geteuid():
        print("1..0 # SKIP needs root")
        return 0
    if sys.argv[1:2] != ["--case"]:
        seed = sys.argv[2] if sys.argv[1:2] == ["--seed"] else \
            str(random.randrange(1 << 30)) if os.environ.get("SOAK") else "1"
        return subprocess.run([*SANDBOX, sys.executable, os.path.abspath(__file__), "--case",
                               seed], check=False).returncode
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    harness.become_subreaper()
    checks, pick = harness.Checks(), random.Random(int(sys.argv[2]))
    print(f"# seed {sys.argv[2]}")
    for options in ([], ["--pre-copy"]):
        with tempfile.TemporaryDirectory() as scratch:
            test(Forger(scratch), checks, pick, options)
    checks.plan()
    return checks.failed != 0


sys.exit(main())
