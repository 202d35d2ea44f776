#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A redis-server with 100,000 keys and clients that keep writing loses nothing and answers anew.
. "$(dirname "$0")/../lib.sh"
need redis-server redis-cli

port=$(free_port)
socket=$SCRATCH/redis.socket
drive redis "$port" --save ''
cycles 'clients and keys are right' ask
snapshots 'clients and keys are right' ask
turn_back 'clients and keys are right' ask

is 'a new client is answered over the Unix socket' \
	"$(redis-cli -s "$socket" get key:4711)" "value $((4711 * 7919)) of key 4711"
is 'a new client is answered over TCP' \
	"$(redis-cli -p "$port" get key:42)" "value $((42 * 7919)) of key 42"
ok 'redis-server ends by command' redis-cli -s "$socket" shutdown nosave
kill_tree "$PID"
done_testing
