# SPDX-License-Identifier: GPL-2.0-or-later
"""postgresql_driver.py DIRECTORY: PostgreSQL under another uid, psql sessions with an open
transaction, and pgbench; all over a Unix socket."""

import glob
import os
import subprocess
import sys

sys.dont_write_bytecode = True
import inside

OPTIONS = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_memory_type=sysv",
           "-c", "autovacuum_naptime=1", "-c", "max_parallel_workers_per_gather=2"]
BALANCE = ("select (select sum(abalance) from pgbench_accounts) = sum(delta),"
           " (select sum(bbalance) from pgbench_branches) = sum(delta),"
           " (select sum(tbalance) from pgbench_tellers) = sum(delta) from pgbench_history;")


class Session:
    """A psql that stays."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def query(self, text):
        """Runs statements; the rows as lines."""
        self.process.stdin.write(text + "\n\\echo done\n")
        self.process.stdin.flush()
        lines = []
        while not lines or lines[-1] != "done":
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"psql ended with {self.process.wait()} at {text!r}")
            lines.append(line.rstrip("\n"))
        return lines[:-1]


class Transaction:
    """Rounds of a transaction that is open when the tree is saved."""

    def __init__(self, writer, reader):
        self.writer, self.reader, self.rows = writer, reader, 0
        writer.query("create table kept (number int, text text);")
        self.begin()

    def begin(self):
        self.writer.query("begin; create temporary table mine on commit drop as select 1;"
                          " insert into kept select n, 'row ' || n"
                          f" from generate_series({self.rows + 1}, {self.rows + 1000}) n;"
                          " select pg_advisory_xact_lock(4711);")

    def commit(self):
        count = "select count(*), count(distinct text), coalesce(max(number), 0) from kept;"
        inside.same("what others see", self.reader.query(count), [f"{self.rows}|{self.rows}|{self.rows}"])
        inside.same("its lock", self.reader.query("select pg_try_advisory_lock(4711);"), ["f"])
        inside.same("its table", self.writer.query("select * from mine;"), ["1"])
        self.writer.query("commit;")
        self.rows += 1000
        inside.same("what others see now", self.reader.query(count),
                    [f"{self.rows}|{self.rows}|{self.rows}"])


def start_server(directory, programs):
    data = directory + "/data"
    as_postgres = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"}
    os.mkdir(data)
    for path in (data, directory + "/socket"):
        os.makedirs(path, exist_ok=True)
        subprocess.check_call(["chown", "postgres", path])
    subprocess.check_call([programs + "initdb", "--no-sync", "-A", "trust", "-D", data],
                          stdout=subprocess.DEVNULL, **as_postgres)
    subprocess.Popen([programs + "postgres", "-D", data, "-k", directory + "/socket", *OPTIONS],
                     **as_postgres)


def main():
    directory = sys.argv[1]
    os.environ.update(PGHOST=directory + "/socket", PGUSER="postgres", PGDATABASE="postgres")
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/"), key=len)[-1:]
    programs = programs[0] if programs else ""
    start_server(directory, programs)
    inside.wait_for(lambda: subprocess.call([programs + "pg_isready", "-q"]) == 0,
                    "PostgreSQL does not answer")
    subprocess.check_call([programs + "pgbench", "-i", "-q"], stdout=subprocess.DEVNULL)
    bench = subprocess.Popen([programs + "pgbench", "-n", "-c", "4", "-j", "2", "-T", "100000"])
    reader = Session()
    transaction = Transaction(Session(), reader)
    done = [0]

    def check():
        if bench.poll() is not None:
            raise AssertionError(f"pgbench ended with {bench.returncode}")
        transaction.commit()
        before = done[0]

        def grown():
            done[0] = int(reader.query("select count(*) from pgbench_history;")[0])
            return done[0] > before
        inside.wait_for(grown, "pgbench does not go on")
        inside.same("balance", reader.query(BALANCE), ["t|t|t"])
        late = Session()
        inside.same("a new session", late.query("select 6 * 7;"), ["42"])
        late.process.stdin.close()
        inside.same("its end", late.process.wait(), 0)
        transaction.begin()

    check()
    inside.serve(directory, check)


main()
