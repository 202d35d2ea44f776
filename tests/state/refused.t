#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# States that cannot be saved make checkpoint refuse; the program goes on as if nothing had been.
. "$(dirname "$0")/../lib.sh"

# refused WHAT TEXT: checkpoint of a program in that state says this.
refused() {
	local dir=$SCRATCH/$1 status=0
	mkdir -m 777 "$dir"
	start "$BUILD/tests/faults/odd_state" "$dir" "$1"
	wait_until "test -e $dir/ready" || bail "$1: $(cat "$SCRATCH/output.$PID")"
	timeout -s KILL 60 "$CRIU_LITE" checkpoint -t "$PID" -o "$IMAGE" >"$dir/log" 2>&1 || status=$?
	ok "$1: the reason" grep "$2" "$dir/log" || diag "$(cat "$dir/log")"
	is "$1: exit status" $status 3
	ok "$1: no image" test ! -e "$IMAGE"
	touch "$dir/go"
	gone "$PID"
	is "$1: it has ended well" "$(cat "$SCRATCH/output.$PID")" ''
}

refused removed-directory \
	'process [0-9]*: working directory .*removed.*deleted.* (let the program change'
refused supervisor 'task [0-9]*: a seccomp filter asks a supervisor'
refused caught-calls 'task [0-9]*: it runs code whose system calls are caught'
refused thread-timer 'process [0-9]*: timer 0: it runs on the processor time of a thread'
done_testing
