#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the caller of a restore is and may do: no habit of it gets into the program, and what it
# cannot give is refused or said.
. "$(dirname "$0")/../lib.sh"
need setpriv prlimit choom nice ionice taskset setarch

# save PID: into $IMAGE; what it is about here is the restore.
save() {
	local pids
	pids=$(tree "$1")
	timeout -s KILL 60 "$CRIU_LITE" checkpoint -t "$1" -o "$IMAGE" && gone $pids
}

# run_kind NAME: a program of tests/kinds up to its checkpoint; sets DIR.
run_kind() {
	DIR=$SCRATCH/$1
	mkdir -m 777 "$DIR"
	start "$BUILD/tests/kinds/$1" "$DIR"
	wait_until "test -e $DIR/ready || test -e $DIR/result" || bail "$1 does not come up"
	ok "$1: checkpoint" save "$PID" || bail 'no image'
}

# finish_kind NAME: its own judgement.
finish_kind() {
	touch "$DIR/go"
	wait_until "test -e $DIR/result"
	is "$1 is right" "$(cat "$DIR/result")" PASS
}

# restore_by COMMAND…: criu-lite run by that command; output in $SCRATCH/log, its
# status in STATUS.
restore_by() {
	STATUS=0
	timeout -s KILL 60 "$@" "$CRIU_LITE" restore "$IMAGE" --detach --pidfile "$SCRATCH/pid" \
		>"$SCRATCH/log" 2>&1 || STATUS=$?
	[ $STATUS = 0 ] && PID=$(cat "$SCRATCH/pid")
}

# is_refused NAME TEXT HINT: restore_by has failed with these words and left nothing.
is_refused() {
	is "$1: is refused" $((STATUS != 0)) 1
	ok "$1: the reason" grep "$2" "$SCRATCH/log" || diag "$(cat "$SCRATCH/log")"
	ok "$1: the remedy" grep "hint: .*$3" "$SCRATCH/log"
	ok "$1: nothing is left" gone "$PID"
}

# A caller of low priority, on one processor, with odd mask, address space and signals.
for kind in scheduler filesystem personality signal_handlers limits numa_policy; do
	run_kind $kind
	restore_by nice -n 7 ionice -c 3 taskset -c 0 setarch -R /bin/sh -c \
		'umask 0; cd /; trap "" USR1 CHLD HUP; ulimit -S -c 0; ulimit -S -n 300; exec "$@"' sh
	is "$kind: restore" "$STATUS$(cat "$SCRATCH/log")" 0
	finish_kind $kind
done

# A kernel that does not give timers the ids that are asked for.
run_kind posix_timers
restore_by env CRIU_LITE_WITHOUT=timer-restore-ids
is 'timers by counting: restore' "$STATUS$(cat "$SCRATCH/log")" 0
finish_kind posix_timers

# Not to be had: CAP_SYS_RESOURCE.
poor='setpriv --bounding-set -sys_resource --inh-caps -sys_resource'

start $poor prlimit --msgqueue=500:600 sleep 1000
ok 'soft limit: checkpoint' save "$PID"
restore_by $poor prlimit --msgqueue=400:400
is_refused 'soft limit' 'its RLIMIT_MSGQUEUE is 500, and here at most 400 can be given' \
	CAP_SYS_RESOURCE
restore_by $poor prlimit --msgqueue=500:550
is 'hard limit: restore' $STATUS 0
is 'hard limit: a note' "$(cat "$SCRATCH/log")" \
	"criu-lite: note: process $PID: its hard limit RLIMIT_MSGQUEUE is 550 here, was 600"
is 'hard limit: limits' "$(prlimit -p "$PID" --msgqueue -o SOFT,HARD --noheadings | xargs)" '500 550'
kill_tree "$PID"

start sleep 1000
ok 'capabilities: checkpoint' save "$PID"
restore_by setpriv --bounding-set -kill
is_refused 'capabilities' 'the capabilities 0x20 of its permitted set cannot be given' capsh
restore_by setpriv --no-new-privs
is_refused 'no_new_privs' 'may gain privileges by execve' no_new_privs

mkdir "$SCRATCH/here"
start env -C "$SCRATCH/here" sleep 1000
ok 'directory: checkpoint' save "$PID"
rmdir "$SCRATCH/here"
restore_by env
is_refused 'directory' "its directory $SCRATCH/here is not here" 'make it'
mkdir "$SCRATCH/here"
restore_by env
is 'directory: restore' $STATUS 0
is 'directory: it is there' "$(readlink "/proc/$PID/cwd")" "$SCRATCH/here"
kill_tree "$PID"

start sh -c 'sleep 0.2; exec setpriv --pdeathsig TERM sleep 1000'
wait_until 'grep -q sleep "/proc/$PID/comm"'
ok 'parent: checkpoint' save "$PID"
restore_by env
is 'parent: restore' $STATUS 0
is 'parent: a note' "$(cat "$SCRATCH/log")" "criu-lite: note: process $PID, thread $PID: its \
parent-death signal 15 is not set, as its parent is another one now"
sleep 0.1
ok 'parent: the end of criu-lite does no harm' kill -0 "$PID"
kill_tree "$PID"

if choom -n -10 true 2>/dev/null; then
	start choom -n -10 $poor sleep 1000
	ok 'killed last: checkpoint' save "$PID"
	restore_by choom -n 5 $poor
	is 'killed last: restore' $STATUS 0
	is 'killed last: a note' "$(cat "$SCRATCH/log")" \
		"criu-lite: note: process $PID: its oom_score_adj is 5, was -10"
	is 'killed last: value' "$(cat "/proc/$PID/oom_score_adj")" 5
	kill_tree "$PID"
else
	skip 'killed last' 'no CAP_SYS_RESOURCE here'
fi
done_testing
