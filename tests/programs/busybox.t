#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A static program, with children that it forks and executes, goes on without a gap.
. "$(dirname "$0")/../lib.sh"
need busybox
readelf -lW "$(command -v busybox)" | grep -q INTERP && skip_all 'busybox is not static here'

log=$SCRATCH/log
# Forks for each line; the other end of the pipe is a child that has replaced itself.
start busybox sh -c 'n=0; while n=$((n + 1)); do echo $n $(busybox expr $n \* $n); done |
	busybox awk "{ print; fflush() }" >"$0"' "$log"
wait_until "[ -s '$log' ]" || bail 'the program does not start'
check() {
	local lines
	lines=$(wc -l <"$log")
	wait_until "[ \$(wc -l <'$log') -gt $((lines + 20)) ]" || return
	head -n $((lines + 20)) "$log" | awk '$1 != NR || $2 != NR * NR { print; exit 1 }'
}
ok 'numbers and squares' check
cycles 'numbers and squares go on' check
snapshots 'numbers and squares go on' check
kill_tree "$PID"
done_testing
