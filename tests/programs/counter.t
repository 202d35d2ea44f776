#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A long Python job goes on where it was: its log has no gap and no repetition.
. "$(dirname "$0")/../lib.sh"

log=$SCRATCH/log
check() {
	local before

	before=$(/usr/bin/python3 "$ROOT/tests/programs/check_counter.py" "$log") || return
	wait_until "[ \$(wc -l <'$log') -gt $((before + 10)) ]" &&
		/usr/bin/python3 "$ROOT/tests/programs/check_counter.py" "$log"
}

start /usr/bin/python3 "$ROOT/tests/programs/counter.py" "$log"
wait_until "[ -s '$log' ]" || bail "the job does not start"
ok 'the job counts' check
cycles 'the job goes on' check
snapshots 'the job goes on' check
kill_tree "$PID"
done_testing
