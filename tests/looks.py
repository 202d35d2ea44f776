# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process tree looks like from outside: all that /proc shows of it and that a restored
program must have again. Two looks at the same steady tree are equal."""

import os
import re
import struct

import harness

# Lines of /proc/PID/status that tell what the kernel does to or for the task.
STATUS = re.compile(r"^(Name|Umask|Tgid|PPid|TracerPid|Uid|Gid|Groups|NStgid|NSpgid|NSsid|Threads|"
                    r"SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt|Cap\w+|NoNewPrivs|Seccomp\w*|"
                    r"Speculation\w+|THP_enabled|Cpus_allowed|Mems_allowed):\s*(.*)$", re.M)
# Whole files that must be the same again.
FILES = ["cmdline", "environ", "auxv", "comm", "limits", "oom_score_adj", "personality",
         "timerslack_ns", "coredump_filter", "cgroup", "timers"]
LINKS = ["exe", "cwd", "root"]
# 26-28: code and stack; 45-51: data, heap, arguments, environment (man proc, /proc/pid/stat).
STAT_ADDRESSES = (26, 27, 28, 45, 46, 47, 48, 49, 50, 51)
STAT_OTHER = {4: "parent", 5: "group", 6: "session", 7: "terminal", 19: "nice", 20: "threads",
              38: "exit signal", 40: "real-time priority", 41: "policy"}


def stat_fields(text):
    """Fields of a stat file, by their numbers in the manual page."""
    head, _, tail = text.rpartition(")")
    return [None, head.split(" ")[0], head.partition("(")[2], *tail.split()]


class Names:
    """Pipes, sockets and deleted files have other numbers after a restore; what counts is which
    descriptors share one. Each is called after its order of appearance."""

    def __init__(self):
        self.known = {}

    def of(self, link):
        if link.endswith(" (deleted)") and not link.startswith(("/memfd:", "/dev/zero", "/SYSV")):
            return "(deleted file)"
        match = re.fullmatch(r"(pipe|socket):\[\d+\]", link)
        if not match:
            return link
        return self.known.setdefault(link, f"{match.group(1)} {len(self.known)}")


def without_tmpfile(line):
    """O_TMPFILE says how a file was made, and nothing else; a restore makes it otherwise."""
    key, _, value = line.partition(":")
    if key != "flags":
        return line
    return f"flags:\t0{int(value, 8) & ~os.O_TMPFILE:o}"


def descriptors(pid, names):
    found = {}
    try:
        numbers = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return found
    for number in numbers:
        try:
            link = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
        info = harness.read_text(f"/proc/{pid}/fdinfo/{number}") or ""
        lines = [re.sub(r"^lock:\s*\d+:|\s+(ino|sdev):\S+(?=.*tfd)|\s+pos:\S+\s+ino:\S+\s+sdev:\S+",
                        "", line) for line in info.split("\n")
                 if not re.match(r"mnt_id|ino|it_value|eventfd-id|scm_fds|pidfd|Pid|NSpid", line)]
        if link.endswith(" (deleted)"):
            lines = [without_tmpfile(line) for line in lines]
        found[f"descriptor {number}"] = " ".join([names.of(link), *sorted(filter(None, lines))])
    return found


def mappings(pid):
    """Ranges with protection, flags and file. Neighbours that differ in nothing are one."""
    found, start, end = [], 0, 0
    for line in (harness.read_text(f"/proc/{pid}/smaps") or "").split("\n"):
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) (\S+) (\S+) (\S+)\s*(.*)", line)
        if head:
            start, end = int(head.group(1), 16), int(head.group(2), 16)
            protection, offset, path = head.group(3), head.group(4), head.group(7)
            if path.endswith(" (deleted)") and not path.startswith(("/dev/zero", "/SYSV")):
                path = "(deleted file)"
        elif line.startswith("VmFlags:"):
            flags = " ".join(flag for flag in line.split()[1:] if flag != "sd")
            what = (protection, "" if path in ("", "[heap]") else offset, path, flags)
            if found and found[-1][1] == start and found[-1][2] == what and not path:
                found[-1][1] = end
            else:
                found.append([start, end, what])
    return {f"mapping {start:x}-{end:x}": " ".join(what) for start, end, what in found}


def task(pid, tid):
    """One thread."""
    base = f"/proc/{pid}/task/{tid}"
    found = {key: re.sub(r"\s+", " ", value)
             for key, value in STATUS.findall(harness.read_text(base + "/status") or "")}
    fields = stat_fields(harness.read_text(base + "/stat") or "0 (gone) X")
    found["state"] = fields[3] if fields[3] in "TtZX" else "alive"
    if found["state"] == "Z":
        # No signal ever reaches it again.
        found = {key: value for key, value in found.items() if not key.startswith(("Sig", "ShdPnd"))}
    if len(fields) > 51:
        found.update({what: fields[number] for number, what in STAT_OTHER.items()})
        found["addresses"] = " ".join(fields[number] for number in STAT_ADDRESSES)
    found["comm"] = harness.read_text(base + "/comm")
    return found


def process(pid, names):
    found = {}
    for name in FILES:
        found[name] = harness.read_text(f"/proc/{pid}/{name}")
    if found["auxv"]:
        data = found["auxv"].encode("utf-8", "surrogateescape")
        found["auxv"] = str(struct.unpack(f"{len(data) // 8}Q", data[:len(data) // 8 * 8]))
    for name in LINKS + ["ns/" + kind for kind in os.listdir("/proc/self/ns")]:
        try:
            found[name] = os.readlink(f"/proc/{pid}/{name}")
        except OSError:
            found[name] = None
    found["children"] = str(harness.children(pid))
    found.update(descriptors(pid, names))
    found.update(mappings(pid))
    threads = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    for tid in threads:
        found.update({f"thread {tid} {key}": value for key, value in task(pid, tid).items()})
    if threads == [pid] and found[f"thread {pid} state"] == "Z":
        # No limit holds for it any more.
        del found["limits"]
    return found


def look(root):
    """{"pid: facet": text} of a whole tree."""
    names = Names()
    return {f"{pid}: {facet}": text for pid in harness.tree(root)
            for facet, text in process(pid, names).items()}


def difference(before, after, ignore=()):
    """Lines that tell where two looks differ, but for facets that begin with an ignored word."""
    lines = []
    for key in sorted(set(before) | set(after)):
        facet = re.sub(r"^\d+: (thread \d+ )?", "", key)
        if before.get(key) == after.get(key) or facet.split(" ")[0] in ignore:
            continue
        lines.append(f"{key}: was {before.get(key)!r}, is {after.get(key)!r}")
    return lines
