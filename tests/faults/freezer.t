#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A tree's freezer cgroup is left as it was found, frozen or not; a parent in vfork is no obstacle.
. "$(dirname "$0")/../lib.sh"

V1=$(awk '/ - cgroup .*[ ,]freezer(,|$)/ { print $5; exit }' /proc/self/mountinfo)
V2=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
NAME=criu-lite-freezer-$$
trap 'remove_cgroups; rm -rf "$SCRATCH"' EXIT

remove_cgroups() {
	local directory

	for directory in ${V1:+"$V1/$NAME/below"} ${V1:+"$V1/$NAME"} ${V2:+"$V2/$NAME/below"} \
		${V2:+"$V2/$NAME"}; do
		[ -d "$directory" ] || continue
		thaw "$directory"
		kill -KILL $(cat "$directory/cgroup.procs") 2>/dev/null
		wait_until "rmdir '$directory'"
	done
}

thaw() {
	if [ -e "$1/cgroup.freeze" ]; then
		echo 0 >"$1/cgroup.freeze"
	else
		echo THAWED >"$1/freezer.state"
	fi
}

freeze() {
	if [ -e "$1/cgroup.freeze" ]; then
		echo 1 >"$1/cgroup.freeze"
	else
		echo FROZEN >"$1/freezer.state"
	fi
	wait_until "[ \"\$(state '$1')\" = frozen ]" || bail "$1 does not freeze"
}

# state DIRECTORY: "frozen" or "thawed", or what is in between.
state() {
	if [ -e "$1/cgroup.freeze" ]; then
		case $(cat "$1/cgroup.freeze")$(grep '^frozen' "$1/cgroup.events") in
		0frozen\ 0) echo thawed ;;
		*frozen\ 1) echo frozen ;;
		*) echo "$(cat "$1/cgroup.freeze"), $(grep '^frozen' "$1/cgroup.events")" ;;
		esac
	else
		sed 's/THAWED/thawed/; s/FROZEN/frozen/' "$1/freezer.state"
	fi
}

alive() {
	grep -q '^State:.*[SRD] ' "/proc/$1/status"
}

# in_cgroups VERSION MOUNT
in_cgroups() {
	local version=$1 own=$2/$NAME other output status

	mkdir "$own" "$own/below" || bail "cannot make $own"
	start sleep 1000
	echo $PID >"$own/cgroup.procs"
	ok "$version: a snapshot" checkpoint $PID --leave-running
	is "$version: the cgroup is thawed" "$(state "$own")" thawed
	ok "$version: it runs on" alive $PID

	freeze "$own"
	ok "$version: a snapshot of a frozen program" checkpoint $PID --leave-running
	is "$version: it is frozen as before" "$(state "$own")" frozen
	ok "$version: it is left stopped, and frozen" checkpoint $PID --leave-stopped
	is "$version: it is frozen then too" "$(state "$own")" frozen
	thaw "$own"
	ok "$version: once thawed it is stopped" wait_until "grep -q '^State:.*T ' /proc/$PID/status"
	kill -CONT $PID

	echo $PID >"$own/below/cgroup.procs"
	freeze "$own"
	ok "$version: a cgroup further up is frozen" checkpoint $PID --leave-running
	is "$version: and stays so" "$(state "$own") $(state "$own/below")" 'frozen frozen'
	thaw "$own"

	other=$PID
	start sleep 1000
	echo $PID >"$own/below/cgroup.procs"
	ok "$version: a cgroup with others in it" checkpoint $PID --leave-running
	freeze "$own"
	status=0
	output=$("$CRIU_LITE" checkpoint -t $PID -o "$IMAGE.not" 2>&1) || status=$?
	is "$version: if that is frozen, nothing is done" "$status" 3
	ok "$version: the message says why" grep -q 'is frozen, and others are in it' <<<"$output"
	thaw "$own"
	kill_tree $other

	freeze "$own"
	ok "$version: a frozen program is ended" checkpoint $PID
	is "$version: its cgroup is still frozen" "$(state "$own")" frozen
	ok "$version: it comes back" restore
	kill_tree $PID
	remove_cgroups
}

# run SECONDS [CGROUP]: starts the vforker; PID.
run() {
	start "$BUILD/tests/faults/vforker" "$1"
	[ "$1" = 0 ] || wait_until "grep -q . /proc/$PID/task/$PID/children" || bail "no child"
	[ -z "${2-}" ] || tree $PID | while read -r pid; do
		echo "$pid" >"$2/cgroup.procs"
	done 2>/dev/null
}

# vforking NAME [CGROUP]
vforking() {
	local begin status=0 child

	run 0 "${2-}"
	ok "$1: a program that makes children all the time" checkpoint $PID --leave-running
	ok "$1: it runs on" alive $PID
	kill_tree $PID

	run 1 "${2-}"
	ok "$1: a parent in vfork for a moment" checkpoint $PID --leave-running
	kill_tree $PID

	run 1000 "${2-}"
	child=$(cat /proc/$PID/task/$PID/children)
	begin=$(date +%s%N)
	"$CRIU_LITE" checkpoint -t $PID -o "$IMAGE" 2>"$SCRATCH/error" || status=$?
	is "$1: a parent in vfork for ever: exit status" "$status" 4
	ok "$1: said soon" test $(($(date +%s%N) - begin)) -lt 5000000000
	ok "$1: and clearly" grep -q "task $PID .*\|hint.*vfork" "$SCRATCH/error"
	ok "$1: its child runs on" alive $child
	kill_tree $PID
}

for version in v1 v2; do
	mount=${version^^}
	if [ -z "${!mount}" ]; then
		skip "$version" 'no such freezer here'
		continue
	fi
	in_cgroups $version "${!mount}"
done
vforking bare
if [ -n "$V2" ]; then
	# The same where freezing comes first.
	mkdir "$V2/$NAME"
	vforking 'in a cgroup' "$V2/$NAME"
	is 'in a cgroup: it is thawed' "$(state "$V2/$NAME")" thawed
fi
done_testing
