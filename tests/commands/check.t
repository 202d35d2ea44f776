#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check tells what the kernel offers and, without stopping it, all that a tree cannot be saved for.
. "$(dirname "$0")/../lib.sh"
need python3

field() {
	python3 -c 'import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[int(key) if key.isdigit() else key]
print(value)' "$@"
}

status() {
	"$@" >"$SCRATCH/out" 2>"$SCRATCH/err"
	echo $?
}

is 'check succeeds here' "$(status "$CRIU_LITE" check)" 0
is 'a row for each feature' "$(grep -c '^kcmp  *3.5  *yes ' "$SCRATCH/out")" 1
is 'a required feature that is missing blocks' \
	"$(CRIU_LITE_WITHOUT=kcmp status "$CRIU_LITE" check)" 3
is 'and is named' "$(grep -c '^kcmp  *3.5  *MISSING ' "$SCRATCH/out")" 1
is 'an optional one does not block' \
	"$(CRIU_LITE_WITHOUT=msg-copy status "$CRIU_LITE" check)" 0
is 'what happens without it is told' "$(grep -c 'such queues are refused' "$SCRATCH/out")" 1
is 'JSON has the same' "$(CRIU_LITE_WITHOUT=process-vm "$CRIU_LITE" check --json 2>/dev/null |
	python3 -c 'import json, sys
print([f["name"] for f in json.load(sys.stdin)["features"] if f["required"] and not f["works"]])')" \
	"['process-vm']"
is 'kinds are listed' "$("$CRIU_LITE" check --kinds | grep -c '^pty-master  *descriptor ')" 1

start sleep 1000
is 'a plain process can be saved' "$(status "$CRIU_LITE" check -t $PID)" 0
is 'which is said' "$(cat "$SCRATCH/out")" "process $PID and all below it can be saved"
is 'also in JSON' "$("$CRIU_LITE" check -t $PID --json | field can_be_saved)" True
kill_tree $PID

start python3 -c "import os, time
if os.fork() == 0: os._exit(0)
time.sleep(1000)"
wait_until "ps --ppid $PID -o stat= | grep -q Z" || bail 'no zombie'
zombie=$(ps --ppid $PID -o pid=)
is 'a zombie cannot' "$(status "$CRIU_LITE" check -t $zombie)" 4
is 'nor is it saved' "$(status "$CRIU_LITE" checkpoint -t $zombie -o "$SCRATCH/image")" 4
is 'which is said, too' "$(grep -c 'has ended' "$SCRATCH/err")" 1
kill_tree $PID

cat >"$SCRATCH/blocked.py" <<'END'
import fcntl, os, sys, time
os.chdir(sys.argv[1])
for name in "one", "two":
    open(name, "w").close()
one = os.open("one", os.O_RDONLY)
fcntl.fcntl(one, fcntl.F_SETLEASE, fcntl.F_RDLCK)
if os.fork() == 0:
    two = os.open("two", os.O_RDONLY)
    fcntl.fcntl(two, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    open("ready", "w").close()
while True:
    time.sleep(0.01)
END
mkdir "$SCRATCH/work"
start python3 "$SCRATCH/blocked.py" "$SCRATCH/work"
wait_until "test -e '$SCRATCH/work/ready'" || bail 'the blocked program does not come up'
is 'blockers have an exit status' "$(status "$CRIU_LITE" check -t $PID)" 3
is 'each is named with its process' "$(grep -c "process [0-9]*: descriptor [34] ($SCRATCH/work/" \
	"$SCRATCH/out")" 2
is 'with a remedy' "$(grep -c 'give it up' "$SCRATCH/out")" 2
is 'in JSON, too' "$("$CRIU_LITE" check -t $PID --json 2>/dev/null | field blockers 0 pid)" $PID
is 'checkpoint refuses for the same' "$(status "$CRIU_LITE" checkpoint -t $PID -o "$IMAGE")" 3
is 'there is no image' "$(ls "$IMAGE"* 2>/dev/null)" ''
is 'the program runs on' "$(grep -c '^State:.[SR]' /proc/$PID/status)" 1
kill_tree $PID
is 'a process that is not there' "$(status "$CRIU_LITE" check -t $PID)" 4
is 'a bad option' "$(status "$CRIU_LITE" check --frobnicate)" 2
done_testing
