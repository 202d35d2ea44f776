#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# PostgreSQL under load commits a transaction that was open when it was saved, with its data.
. "$(dirname "$0")/../lib.sh"
need psql
id postgres >/dev/null 2>&1 || skip_all "no user postgres here"

drive postgresql
cycles 'the transaction commits and the balance is right' ask
snapshots 'the transaction commits and the balance is right' ask

ok 'the server shuts down in order' kill -INT "$(head -n 1 "$SCRATCH/data/postmaster.pid")"
ok 'its log says so' wait_until "grep -q 'database system is shut down' '$SCRATCH'/output.*"
# A vacuum that is in the way of others gives up, as an error.
is 'nothing went wrong in the server' "$(grep -E 'PANIC|corrupt|ERROR' "$SCRATCH"/output.* |
	grep -v 'canceling autovacuum task')" ''
kill_tree "$PID"
done_testing
