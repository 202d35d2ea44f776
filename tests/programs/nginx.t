#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# nginx, master and workers under another uid, keeps its connections, answers new ones and reloads.
. "$(dirname "$0")/../lib.sh"
need nginx
id www-data >/dev/null 2>&1 || skip_all "no user www-data here"

port=$(free_port)
drive nginx "$port"
master=$(cat "$SCRATCH/nginx.pid")
workers=$(cat "/proc/$master/task/$master/children")
cycles 'clients and pages are right' ask
snapshots 'clients and pages are right' ask
is 'the workers are the same' "$(cat "/proc/$master/task/$master/children")" "$workers"

# The connections of the old workers stay until their clients have gone.
sed -i 's/"1\\n"/"2\\n"/' "$SCRATCH/nginx.conf"
ok 'reload' nginx -p "$SCRATCH" -c "$SCRATCH/nginx.conf" -s reload
generation() {
	/usr/bin/python3 -c 'import sys, urllib.request
print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/generation").read().decode())' "$port"
}
ok 'new workers answer with the new configuration' wait_until '[ "$(generation)" = 2 ]'
kill_tree "$PID"
done_testing
