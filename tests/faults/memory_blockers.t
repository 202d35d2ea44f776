#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Memory that cannot be saved is named before anything is touched, and the program runs on.
. "$(dirname "$0")/../lib.sh"

# refused KIND TEXT: a program with that memory is refused with exit status 3 and this text.
refused() {
	local output status=0

	rm -f "$SCRATCH/made"
	start "$BUILD/tests/faults/memory_blockers" "$1" "$SCRATCH/made" "$SCRATCH"
	wait_until "test -e '$SCRATCH/made' || ! test -e /proc/$PID"
	if ! [ -e "$SCRATCH/made" ]; then
		skip "$1" "$(cat "$SCRATCH/output.$PID")"
		return
	fi
	output=$("$CRIU_LITE" checkpoint -t "$PID" -o "$IMAGE" 2>&1) || status=$?
	is "$1: exit status" "$status" 3
	ok "$1: the message says so" grep -q "process $PID: memory .*$2" <<<"$output" || diag "$output"
	ok "$1: no image is left" test ! -e "$IMAGE"
	ok "$1: the program runs on" wait_until "grep -q '^State:.*sleeping' /proc/$PID/status"
	kill_tree "$PID"
}

mkdir "$SCRATCH/elsewhere"
refused io_uring "io_uring"
refused aio "io_setup"
refused secret "memfd_secret"
refused userfaultfd "userfaultfd"
refused sealed "mseal"
refused huge "hugetlbfs"
refused key "protection key"
refused hidden "path leads elsewhere"
done_testing
