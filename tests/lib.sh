# SPDX-License-Identifier: GPL-2.0-or-later
# For test scripts (tests/*/*.t), which begin with
#
#     #!/bin/bash
#     # SPDX-License-Identifier: GPL-2.0-or-later
#     # One sentence: the behaviour that is proven.
#     . "$(dirname "$0")/../lib.sh"
#     need redis-server                      # or the whole script is skipped
#     start redis-server --port 0 …          # sets PID; output in $SCRATCH/output.PID
#     wait_until 'redis-cli … ping' || bail "redis does not come up"
#     ok 'checkpoint' checkpoint $PID        # TAP line by the command's exit status
#     ok 'restore' restore
#     is 'value' "$(redis-cli … get key)" 'expected'
#     done_testing
#
# The script runs as a child of tests/reaper, which adopts orphans and in the end kills all that
# is left, so a script may stop anywhere. SOAK=1 asks for the long version.

if [ -z "${REAPED-}" ]; then
	export REAPED=1
	exec "$(dirname "${BASH_SOURCE[0]}")/reaper" /bin/bash "$0" "$@"
fi
unset REAPED

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$(realpath -m "${BUILD:-$ROOT/build}")
CRIU_LITE=${CRIU_LITE:-$BUILD/criu-lite}
SOAK=${SOAK:-}
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/criu-lite-$(basename "$0" .t)-XXXXXX")
chmod 755 "$SCRATCH"
IMAGE=$SCRATCH/image
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 1' HUP INT TERM
tests_done=0 tests_failed=0

diag() {
	printf '%s\n' "$*" | sed 's/^/# /' >&2
}

# Ends the script at once: what follows makes no sense without this. (TAP's "Bail out!" would end
# the other scripts, too.)
bail() {
	diag "$*"
	result "${*%%$'\n'*}" 1
	echo "1..$tests_done"
	exit 1
}

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

# need PROGRAM…: skips the script where a program is missing.
need() {
	local program

	for program; do
		command -v "$program" >/dev/null || skip_all "no $program here"
	done
}

# result NAME STATUS: prints the TAP line; STATUS 0 is a success.
result() {
	tests_done=$((tests_done + 1))
	if [ "$2" = 0 ]; then
		echo "ok $tests_done - $1"
	else
		tests_failed=$((tests_failed + 1))
		echo "not ok $tests_done - $1"
	fi
	return "$2"
}

# ok NAME COMMAND…: a test that passes when the command succeeds; its output shows only otherwise.
ok() {
	local name=$1 status=0
	shift
	"$@" >"$SCRATCH/.ok" 2>&1 || status=$?
	result "$name" $((status != 0)) || diag "$* (exit status $status)
$(tail -n 60 "$SCRATCH/.ok")"
	return $((status != 0))
}

# fails STATUS WORDS COMMAND…: for ok: it ends with that status and says so.
fails() {
	local status=0

	"${@:3}" >"$SCRATCH/.said" 2>&1 || status=$?
	[ $status = "$1" ] && grep -q -- "$2" "$SCRATCH/.said" || {
		echo "exit status $status:"
		cat "$SCRATCH/.said"
		false
	}
}

# is NAME GOT WANTED
is() {
	local same=0
	[ "$2" = "$3" ] || same=1
	result "$1" $same || diag "got:    $2
wanted: $3"
	return $same
}

skip() {
	tests_done=$((tests_done + 1))
	echo "ok $tests_done - $1 # SKIP $2"
}

done_testing() {
	echo "1..$tests_done"
	exit $((tests_failed != 0))
}

# wait_until 'SHELL TEXT' [SECONDS]: polls until the text succeeds.
wait_until() {
	local deadline=$((SECONDS + ${2:-60}))

	until eval "$1" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.02
	done
}

# start COMMAND…: runs it in a session of its own, without our terminal, output to
# $SCRATCH/output.PID, as a child of the reaper. Sets PID.
start() {
	rm -f "$SCRATCH/.pid"
	(setsid /bin/sh -c 'exec 2>"$0/output.$$" >"$0/.pid"; echo $$; exec >&2 "$@"' \
		"$SCRATCH" "$@" </dev/null >/dev/null 2>&1 &)
	wait_until "test -s '$SCRATCH/.pid'" || bail "cannot start $*"
	PID=$(cat "$SCRATCH/.pid")
	# The shell has become the command, or that has ended.
	wait_until "! grep -qs 'output[.][$][$]' /proc/$PID/cmdline" || bail "cannot start $*"
}

# tree PID: the pids of a process and all its descendants.
tree() {
	local pid

	echo "$1"
	for pid in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		tree "$pid"
	done
}

# gone PID…: waits until none of the processes is there, not even as a zombie.
gone() {
	local pid

	for pid; do
		wait_until "! test -e /proc/$pid" && continue
		diag "process $pid is still there"
		return 1
	done
}

# kill_tree PID [SIGNAL]: ends a process and its descendants, by pid, and waits for their end.
kill_tree() {
	local pids
	pids=$(tree "$1")
	kill -"${2:-KILL}" $pids 2>/dev/null
	gone $pids
}

# checkpoint PID [OPTION…]: saves the tree to $IMAGE, and checks that it is gone (unless it was
# to be left) and that the image verifies.
checkpoint() {
	local pids
	pids=$(tree "$1")
	timeout -s KILL 120 "$CRIU_LITE" checkpoint -t "$1" -o "$IMAGE" "${@:2}" || return
	timeout -s KILL 120 "$CRIU_LITE" verify "$IMAGE" || return
	[[ " ${*:2} " == *" --leave-"* ]] || gone $pids
}

# restore [OPTION…]: brings $IMAGE back; sets PID.
restore() {
	rm -f "$SCRATCH/.restored"
	timeout -s KILL 120 "$CRIU_LITE" restore "$IMAGE" --detach \
		--pidfile "$SCRATCH/.restored" "$@" || return
	PID=$(cat "$SCRATCH/.restored") && [ -e "/proc/$PID" ]
}

# How often cycles and snapshots do it.
CYCLES=${CYCLES:-$((SOAK ? 50 : 8))}

# cycles NAME COMMAND…: checkpoint and restore of PID, some times in a row (many in soak); after
# each the command, which must succeed, tells whether the program is right.
cycles() {
	local i

	for i in $(seq "$CYCLES"); do
		ok "checkpoint $i" checkpoint "$PID" || bail "cannot go on"
		ok "restore $i" restore || bail "cannot go on"
		ok "$1 after restore $i" "${@:2}" || bail "cannot go on"
	done
}

# snapshots NAME COMMAND…: the same with images beside which the program runs on.
snapshots() {
	local i

	for i in $(seq "$CYCLES"); do
		ok "snapshot $i" checkpoint "$PID" --leave-running || bail "cannot go on"
		ok "$1 after snapshot $i" "${@:2}" || bail "cannot go on"
	done
}

# turn_back NAME COMMAND…: the program is killed and goes on where the last snapshot has it. Only
# for programs whose files do not care.
turn_back() {
	ok "the program is killed" kill_tree "$PID" || bail "cannot go on"
	ok "restore of the snapshot" restore || bail "cannot go on"
	ok "$1 after the turn back" "${@:2}"
}

# drive NAME [ARGUMENT…]: starts tests/programs/NAME_driver.*, a program that starts others and puts
# them under load, as the root of a tree. Sets PID.
drive() {
	local driver="$ROOT/tests/programs/$1_driver" interpreter=/usr/bin/python3 suffix=.py

	[ -e "$driver.js" ] && interpreter=node suffix=.js
	start $interpreter "$driver$suffix" "$SCRATCH" "${@:2}"
	wait_until "test -e '$SCRATCH/ready' || ! test -e /proc/$PID" 60
	[ -e "$SCRATCH/ready" ] || bail "$1 does not come up:
$(tail -n 60 "$SCRATCH/output.$PID")"
}

# ask: a driver inside the tree (tests/programs/inside.py) checks the program that it drives.
asked=0
ask() {
	local answer

	asked=$((asked + 1))
	answer=$SCRATCH/answer.$asked
	: >"$SCRATCH/ask.$asked"
	wait_until "test -s '$answer'" 60 || diag "no answer from the driver"
	cat "$answer" && [ "$(head -n 1 "$answer")" = right ]
}

# free_port: prints a TCP port of 127.0.0.1 where nobody listens.
free_port() {
	/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

[ "$(id -u)" = 0 ] || skip_all "needs root"
