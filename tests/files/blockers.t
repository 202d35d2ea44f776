#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Descriptors that cannot be saved make checkpoint refuse, all of them named, and nothing is hurt.
. "$(dirname "$0")/../lib.sh"

reason() {
	case $1 in
	shared-table) echo 'descriptor table (the same as that of process [0-9]*): .* cannot be' ;;
	thread-table) echo 'thread [0-9]*: threads with descriptor tables of their own' ;;
	io_uring) echo "descriptor $2 (anon_inode:\[io_uring\]): io_uring" ;;
	fanotify) echo "descriptor $2 (.*): fanotify" ;;
	userfaultfd) echo "descriptor $2 (.*userfaultfd.*): the program serves page faults" ;;
	perf) echo "descriptor $2 (.*): performance counters" ;;
	bpf) echo "descriptor $2 (.*bpf-map.*): bpf programs, maps and links" ;;
	landlock) echo "descriptor $2 (.*landlock.*): landlock rules" ;;
	pipe) echo "descriptor $2 (pipe:.*): its other end is held by a process outside" ;;
	dead-pidfd) echo "descriptor $2 (.*pidfd.*): the process that it names is gone" ;;
	foreign-pidfd) echo "descriptor $2 (.*pidfd.*): it names a process outside of the tree" ;;
	namespace) echo "descriptor $2 (uts:.*): it is a namespace that its holder is not in" ;;
	directory) echo "descriptor $2 (.*removed (deleted)): it is not found under its path" ;;
	watch) echo "descriptor $2 (inotify), watch 1 of inode [0-9]*: the watched file is deleted" ;;
	epoll) echo "descriptor $2 (epoll), item [0-9]*: it watches a file that only a process outside" ;;
	esac
}

all="shared-table io_uring fanotify userfaultfd perf bpf landlock pipe dead-pidfd foreign-pidfd
	namespace directory watch epoll"

# refused WHAT…: starts a program that holds these, and expects each to be named.
refused() {
	local dir status what number
	dir=$(mktemp -d "$SCRATCH/XXXXXX")
	start "$BUILD/tests/faults/unsupported" "$dir" "$@"
	wait_until "test -e $dir/ready" || bail "the program is not ready: $(cat "$SCRATCH/output.$PID")"
	status=0
	timeout -s KILL 60 "$CRIU_LITE" checkpoint -t "$PID" -o "$IMAGE" >"$dir/log" 2>&1 || status=$?
	while read -r what number; do
		if [ "$number" -lt 0 ]; then
			skip "$# of them: $what" "this kernel does not have it"
			continue
		fi
		ok "$# of them: $what is named" grep "process [0-9]*: $(reason "$what" "$number")" \
			"$dir/log" || diag "$(cat "$dir/log")"
	done <"$dir/ready"
	is "$#: exit status" $status 3
	ok "$#: the program runs" sh -c "! grep -q '^State:.*[tTZ]' /proc/$PID/status"
	touch "$dir/go"
	gone "$PID"
	ok "$#: it has ended well" test ! -s "$SCRATCH/output.$PID"
}

refused $all
refused thread-table
refused pipe
refused epoll
ok 'no image is left' test ! -e "$IMAGE"
done_testing
