#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A Python program with a process pool, shared memory and short-lived children makes no error.
. "$(dirname "$0")/../lib.sh"

drive python_processes
cycles 'all processes go on' ask
snapshots 'all processes go on' ask
turn_back 'all processes go on' ask
kill_tree "$PID"
done_testing
