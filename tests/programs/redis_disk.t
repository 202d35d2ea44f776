#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A redis-server that writes its append-only file and forks to save snapshots loses nothing, and
# what it has put on disk after the restore is read by a new server.
. "$(dirname "$0")/../lib.sh"
need redis-server redis-cli

port=$(free_port)
socket=$SCRATCH/redis.socket
drive redis "$port" --save '1 1' --appendonly yes --appendfsync everysec
# While a child saves, its pages are shared with the server's, copy-on-write.
redis-cli -s "$socket" bgsave >/dev/null
cycles 'clients and keys are right' ask
snapshots 'clients and keys are right' ask

# The clients keep writing until they are killed: let one marker be the judge.
ok 'a marker is written' redis-cli -s "$socket" set marker "$$"
sizes=$(redis-cli -s "$socket" dbsize)
redis-cli -s "$socket" shutdown save >/dev/null
kill_tree "$PID"
start redis-server --dir "$SCRATCH" --port 0 --unixsocket "$socket" --appendonly yes --save ''
wait_until "redis-cli -s '$socket' ping | grep -qx PONG" || bail "$(cat "$SCRATCH/output.$PID")"
is 'the new server has all keys' "$(redis-cli -s "$socket" dbsize)" "$sizes"
is 'the new server has the marker' "$(redis-cli -s "$socket" get marker)" "$$"
kill_tree "$PID"
done_testing
