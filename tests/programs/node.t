#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A node program with an HTTP server, timers and worker threads goes on and keeps its connections.
. "$(dirname "$0")/../lib.sh"
need node

# io_uring cannot be saved; some versions of node use it where it is not forbidden.
export UV_USE_IO_URING=0
drive node "$(free_port)"
cycles 'server, clients and workers are right' ask
snapshots 'server, clients and workers are right' ask
kill_tree "$PID"
done_testing
