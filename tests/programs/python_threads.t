#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A Python program with threads, queues, conditions and an SQLite database goes on without an error.
. "$(dirname "$0")/../lib.sh"

drive python_threads
cycles 'all threads go on' ask
snapshots 'all threads go on' ask
kill_tree "$PID"
done_testing
