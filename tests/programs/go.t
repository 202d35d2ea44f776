#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A server written in Go goes on under load, keeps its connections and answers new ones.
. "$(dirname "$0")/../lib.sh"
need rclone

drive go "$(free_port)"
cycles 'server and clients are right' ask
snapshots 'server and clients are right' ask
turn_back 'server and clients are right' ask
kill_tree "$PID"
done_testing
