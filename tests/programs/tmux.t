#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A tmux server goes on with its shells, their jobs in ptys, and an editor-like full-screen program.
. "$(dirname "$0")/../lib.sh"
need tmux

tmux=(tmux -S "$SCRATCH/tmux.socket" -f /dev/null)
log=$SCRATCH/log
t() {
	"${tmux[@]}" "$@"
}
screen() {
	t capture-pane -p -t "$1"
}
shows() {
	wait_until "screen '$1' | grep -qx -- '$2'" && return
	screen "$1"
	return 1
}
# The program that has the terminal of the shell's window.
foreground() {
	t display-message -p -t main:shell '#{pane_current_command}'
}
# type PANE TEXT: as a person would, with Enter at the end.
type() {
	t send-keys -t "$1" -l -- "$2" && t send-keys -t "$1" Enter
}

t new-session -d -x 80 -y 24 -s main -n shell /bin/bash --norc --noprofile \
	</dev/null >/dev/null 2>&1
PID=$(t display-message -p '#{pid}')
wait_until "[ \$(ps -o ppid= -p $PID) != $$ ]"
t set-environment -g PS1 'ready> '
t new-window -n other -t main /bin/sh -c 'while read line; do echo "got $line"; done'
t split-window -t main:other /bin/cat
type main:shell "PS1='> ' HISTFILE=; clear"
# One job in the background that writes, one stopped, one in the foreground that waits.
type main:shell 'count() { local n=0; while :; do n=$((n + 1)); echo $n; sleep 0.01; done; }'
type main:shell "count >'$log' &"
type main:shell "sleep 1000"
wait_until '[ "$(foreground)" = sleep ]' || bail "$(screen main:shell)"
t send-keys -t main:shell C-z
wait_until "screen main:shell | grep -q Stopped" || bail "$(screen main:shell)"
type main:shell 'kept="still here"'

round=0
check() {
	local lines

	round=$((round + 1))
	type main:shell "clear; echo round $round \$kept" && shows main:shell "round $round still here" || return
	type main:shell "jobs | cut -c 1-13"
	shows main:shell '\[1\]-  Running' && shows main:shell '\[2\]+  Stopped' || return
	type main:other.0 "round $round" && shows main:other.0 "got round $round" || return
	type main:other.1 "round $round" && shows main:other.1 "round $round" || return
	lines=$(wc -l <"$log")
	wait_until "[ \$(wc -l <'$log') -gt $((lines + 3)) ]" && [ "$(uniq -d "$log")" = '' ] || return
	t resize-window -t main:shell -x $((80 + round)) -y 24
	type main:shell "until [ \"\$(stty size)\" = '24 $((80 + round))' ]; do sleep 0.02; done; echo wide"
	shows main:shell wide
}

ok 'jobs and panes are right' check
cycles 'jobs and panes are right' check
snapshots 'jobs and panes are right' check
type main:shell 'fg'
wait_until '[ "$(foreground)" = sleep ]'
t send-keys -t main:shell C-c
type main:shell 'clear; echo "jobs: $(jobs -s)"'
ok 'the stopped job goes on and is interrupted' shows main:shell 'jobs:'
t new-window -t main -n late /bin/sh -c 'echo in a new pty; exec cat'
ok 'a new window opens' shows main:late 'in a new pty'
ok 'a client attaches' script -qec "${tmux[*]} attach -t main \; detach-client" /dev/null
type main:shell 'kill %1'
t kill-server
ok 'the server ends' gone "$PID"
done_testing
