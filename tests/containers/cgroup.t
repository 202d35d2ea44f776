#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is named by its cgroup is saved with all that is in it, and comes back in it or elsewhere.
. "$(dirname "$0")/../lib.sh"

mount_of() {
	awk -v name="$1" '/ - cgroup / && $NF ~ "(^|,)" name "(,|$)" { print $5; exit }' \
		/proc/self/mountinfo
}

NAME=criu-lite-cgroup-$$
FREEZER=$(mount_of freezer) PIDS=$(mount_of pids) V2=$(awk '/ - cgroup2 / { print $5; exit }' \
	/proc/self/mountinfo)
[ "$FREEZER" ] && [ "$PIDS" ] || skip_all 'no freezer and pids of cgroup version 1 here'
trap 'remove_cgroups; rm -rf "$SCRATCH"' EXIT

remove_cgroups() {
	local directory

	for directory in "$FREEZER" "$PIDS" ${V2:+"$V2"}; do
		for directory in "$directory/$NAME"-*/below "$directory/$NAME"-*; do
			[ -d "$directory" ] || continue
			[ ! -e "$directory/freezer.state" ] || echo THAWED >"$directory/freezer.state"
			[ ! -e "$directory/cgroup.freeze" ] || echo 0 >"$directory/cgroup.freeze"
			kill -KILL $(cat "$directory/cgroup.procs") 2>/dev/null
			wait_until "rmdir '$directory'"
		done
	done
}

# enter PATH PID
enter() {
	mkdir -p "$FREEZER/$1" "$PIDS/$1" || bail "cannot make $1"
	echo "$2" >"$FREEZER/$1/cgroup.procs" && echo "$2" >"$PIDS/$1/cgroup.procs" ||
		bail "cannot move $2"
}

# save CGROUP OPTION…
save() {
	"$CRIU_LITE" checkpoint --cgroup "$1" -o "$IMAGE" "${@:2}"
}

# stranger: starts a program of which we are not the parent. Sets STRANGER.
stranger() {
	(sleep 1000 & echo $! >"$SCRATCH/stranger")
	STRANGER=$(cat "$SCRATCH/stranger")
	wait_until "grep -qx sleep /proc/$STRANGER/comm" || bail 'no stranger'
}

place() {
	sed -n "s/^[0-9]*:$2://p" "/proc/$1/cgroup"
}

ONE=$NAME-one
start /bin/sh -c 'sleep 1000 & echo $! >"$0/child"; wait' "$SCRATCH"
wait_until "[ -s '$SCRATCH/child' ]" || bail 'no child'
CHILD=$(cat "$SCRATCH/child")
enter "$ONE" $PID
enter "$ONE/below" $CHILD
echo 20 >"$PIDS/$ONE/pids.max"

ok 'a directory' save "$FREEZER/$ONE" --leave-running
ok 'its path in the hierarchies' save "/$ONE" --leave-running
ok 'that of another hierarchy' save "$PIDS/$ONE" --leave-running
ok 'a cgroup that is not there' fails 4 'No such file' save "/$ONE-not" --leave-running
ok 'a relative path' fails 2 'absolute' save "$ONE" --leave-running
ok 'the whole machine' fails 4 'whole machine' save "$FREEZER" --leave-running
ok 'a directory of something else' fails 4 'No such file' save "$SCRATCH" --leave-running

stranger
echo $STRANGER >"$PIDS/$ONE/cgroup.procs"
ok 'a process that came from outside' fails 3 "process $STRANGER: sleep: entered" \
	save "/$ONE" --leave-running
ok 'check names it, too' fails 3 "process $STRANGER" "$CRIU_LITE" check --cgroup "/$ONE"
kill $STRANGER
wait_until "! grep -qw $STRANGER '$PIDS/$ONE/cgroup.procs'"
ok 'once it has ended' "$CRIU_LITE" check --cgroup "/$ONE"

echo FROZEN >"$FREEZER/$ONE/freezer.state"
wait_until "[ \$(cat '$FREEZER/$ONE/freezer.state') = FROZEN ]"
ok 'it is frozen' save "/$ONE"
wait_until "! [ -e /proc/$PID ] && ! [ -e /proc/$CHILD ]" || bail 'it is still there'

TWO=$NAME-two
mkdir "$FREEZER/$TWO"
stranger
echo $STRANGER >"$FREEZER/$TWO/cgroup.procs"
ok 'there is somebody' fails 3 "with process $STRANGER in it" \
	"$CRIU_LITE" restore "$IMAGE" --detach --external "cgroup[/$ONE]=/$TWO"
ok 'and nothing is made' [ ! -e "$PIDS/$TWO" ]
kill $STRANGER
wait_until "rmdir '$FREEZER/$TWO'"

ok 'in another place' "$CRIU_LITE" restore "$IMAGE" --detach --external "cgroup[/$ONE]=/$TWO/in/it"
is 'the first process' "$(place $PID freezer) $(place $PID pids)" "/$TWO/in/it /$TWO/in/it"
is 'its child' "$(place $CHILD freezer) $(place $CHILD pids)" "/$TWO/in/it/below /$TWO/in/it/below"
is 'the limit' "$(cat "$PIDS/$TWO/in/it/pids.max")" 20
is 'it is frozen still' "$(cat "$FREEZER/$TWO/in/it/freezer.state")" FROZEN
echo THAWED >"$FREEZER/$TWO/in/it/freezer.state"
ok 'and runs once it is thawed' wait_until "grep -q '^State:.*S ' /proc/$PID/status"
kill -KILL $CHILD $PID
for directory in "$FREEZER" "$PIDS"; do
	wait_until "rmdir '$directory/$TWO/in/it/below' '$directory/$TWO/in/it' '$directory/$TWO/in'"
done
remove_cgroups

FORKS=$NAME-forks
# It forks once it is inside: what was born before would be outside.
start /bin/sh -c 'until [ -e "$0" ]; do :; done; while :; do /bin/true & /bin/true; wait; done' \
	"$SCRATCH/inside"
enter "$FORKS" $PID
touch "$SCRATCH/inside"
ok 'whatever is born meanwhile' save "/$FORKS" --leave-running
ok 'it goes on' wait_until "grep -q '^State:.*[SRD] ' /proc/$PID/status"
ok 'and is ended' save "/$FORKS"
ok 'with all that is in it' wait_until "! grep -q . '$FREEZER/$FORKS/cgroup.procs'"
echo FROZEN >"$FREEZER/$FORKS/freezer.state"
ok 'it is back, though what was left was frozen' "$CRIU_LITE" restore "$IMAGE" --detach
is 'where it was' "$(place $PID freezer)" "/$FORKS"
is 'and runs' "$(cat "$FREEZER/$FORKS/freezer.state")" THAWED
kill -KILL $PID

# hugetlb_of CGROUP: its limit.
hugetlb_of() {
	cat "$V2/$1/hugetlb."*.max | head -n 1
}

if [ "$V2" ] && grep -qw hugetlb "$V2/cgroup.controllers"; then
	LEAF=$NAME-v2
	was=$(cat "$V2/cgroup.subtree_control")
	echo +hugetlb >"$V2/cgroup.subtree_control"
	mkdir "$V2/$LEAF" "$V2/$LEAF/below"
	echo +hugetlb >"$V2/$LEAF/cgroup.subtree_control"
	start sleep 1000
	echo $PID >"$V2/$LEAF/below/cgroup.procs"
	for file in "$V2/$LEAF/below/hugetlb."*.max; do
		echo 0 >"$file"
	done
	ok 'version 2, with a controller and no process at the top' save "$V2/$LEAF"
	wait_until "! [ -e /proc/$PID ] && rmdir '$V2/$LEAF/below' '$V2/$LEAF'"
	[ "$was" ] || echo -hugetlb >"$V2/cgroup.subtree_control"
	ok 'which comes back where it was switched off' "$CRIU_LITE" restore "$IMAGE" --detach
	is 'in its place' "$(place $PID)" "/$LEAF/below"
	is 'with the limit' "$(hugetlb_of "$LEAF/below")" 0
	kill -KILL $PID
	wait_until "rmdir '$V2/$LEAF/below' '$V2/$LEAF'"
	[ "$was" ] || echo -hugetlb >"$V2/cgroup.subtree_control"
else
	skip 'version 2' 'it has no controller here'
fi

done_testing
