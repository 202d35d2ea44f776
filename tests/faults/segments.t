#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A restore that fails leaves no System V segment behind; one that is in the way is named.
. "$(dirname "$0")/../lib.sh"
need ipcs ipcrm

# Segments by the process that has made them: others on this machine are not touched.
makers=
ours() {
	local maker

	for maker in $makers; do
		ipcs -m -p | awk -v maker="$maker" '$3 == maker { print $1 }'
	done
}

remove_ours() {
	local id

	for id in $(ours); do
		ipcrm -m "$id"
	done
}
trap 'remove_ours; rm -rf "$SCRATCH"' EXIT

mkdir "$SCRATCH/run"
start "$BUILD/tests/kinds/sysv_shm" "$SCRATCH/run"
makers=$PID
wait_until "test -e '$SCRATCH/run/ready'" || bail "the program is not ready"
ok "checkpoint" checkpoint "$PID" || bail "cannot go on"
kept=$(ours)
is "segments that outlive the program" "$(wc -w <<<"$kept")" 2
# One of them is private. Which comes first depends on which ids were free.
key=$(ipcs -m | awk '{ print $1, $2 }' | grep -wF "$kept" | grep -v ^0x00000000 | cut -d' ' -f1)
remove_ours

for step in files pages registers; do
	CRIU_LITE_FAULT=$step "$CRIU_LITE" restore "$IMAGE" --detach >"$SCRATCH/log" 2>&1
	is "failure in step $step: exit status" $? 1
	is "failure in step $step: segments left" "$(ours)" ""
	ok "failure in step $step: no process is left" gone "$PID"
done

# One that is still there, with another size, is not taken over.
start python3 -c "
import ctypes, time
ctypes.CDLL(None).shmget($((key)), 4096, 0o1600)
open('$SCRATCH/taken', 'w')
time.sleep(1000)"
makers="$makers $PID"
wait_until "test -e '$SCRATCH/taken'" || bail "cannot make a segment"
output=$("$CRIU_LITE" restore "$IMAGE" --detach 2>&1)
is "the key is taken: exit status" $? 1
ok "the key is taken: it is named" grep -q "$key" <<<"$output" || diag "$output"
is "the key is taken: nothing but the other's is left" "$(ours | wc -w)" 1
remove_ours

ok "restore" restore || bail "cannot go on"
is "segments" "$(ours | wc -w)" 3
touch "$SCRATCH/run/go"
wait_until "test -e '$SCRATCH/run/result'"
is "the program is right" "$(cat "$SCRATCH/run/result")" PASS
done_testing
