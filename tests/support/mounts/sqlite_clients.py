# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes with one SQLite database at once, after SQLite's own mptest: run in a guest.

    sqlite_clients.py DATABASE SECONDS

The same database goes through all journal modes, and between them through VACUUM and another size of
its pages. In each mode clients write their own tables in transactions, look at those of all in one
transaction (which must not change while they look), leave with a transaction open, and come back.
Prints a line of JSON for each mode: what came of it, how often a client waited in vain, and how long at
most for a lock.
"""
import json
import multiprocessing
import os
import random
import sqlite3
import sys
import time

PATH, SECONDS = sys.argv[1], float(sys.argv[2])
CLIENTS, TIMEOUT = 4, 30
PHASES = [("DELETE", 1024), ("TRUNCATE", 4096), ("PERSIST", 512), ("WAL", 4096)]
TOTALS = " UNION ALL ".join(f"SELECT count(*), coalesce(sum(value), 0) FROM t{i}"
                            for i in range(CLIENTS))


def connect():
    return sqlite3.connect(PATH, timeout=TIMEOUT, isolation_level=None)


def write(database, number, leaves):
    """Ten rows and the ledger, or nothing; the time that it took to be let in."""
    begun = time.monotonic()
    database.execute("BEGIN IMMEDIATE")
    waited = time.monotonic() - begun
    values = [random.randrange(1000) for _ in range(10)]
    database.executemany(f"INSERT INTO t{number} VALUES (?, ?)",
                         [(value, os.urandom(300)) for value in values])
    if leaves:
        os._exit(3)
    database.execute("UPDATE ledger SET rows = rows + 10, value = value + ? WHERE client = ?",
                     (sum(values), number))
    database.execute("COMMIT")
    return waited


def look(database):
    """What all have written is what the ledger says, and stays so while one looks."""
    database.execute("BEGIN")
    ledger = database.execute("SELECT rows, value FROM ledger ORDER BY client").fetchall()
    assert database.execute(TOTALS).fetchall() == ledger, "half a transaction is seen"
    assert database.execute("SELECT rows, value FROM ledger ORDER BY client").fetchall() == ledger
    database.execute("COMMIT")


def work(number, turn, end, told):
    database = connect()
    for serial in range(10**9):
        if time.monotonic() >= end:
            break
        try:
            leaves = (turn, serial) == (0, 1) or random.random() < 0.02
            waited = write(database, number, leaves)
            told.put({"transactions": 1, "longest_wait": waited})
            look(database)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            if database.in_transaction:
                database.execute("ROLLBACK")
            told.put({"timeouts": 1})


def client(number, end, told):
    """In a process of its own, whose end in the middle is followed by another."""
    for turn in range(10**9):
        if time.monotonic() >= end:
            break
        # A SimpleQueue's lock is not held between two statements: who leaves leaves no lock behind.
        child = multiprocessing.Process(target=work, args=(number, turn, end, told))
        child.start()
        child.join()
        assert child.exitcode in (0, 3), f"client {number} ended with {child.exitcode}"
        told.put({"left": int(child.exitcode == 3)})


def run_phase(mode, seconds):
    database = connect()
    assert database.execute(f"PRAGMA journal_mode = {mode}").fetchone() == (mode.lower(),)
    database.close()
    told = multiprocessing.SimpleQueue()
    end = time.monotonic() + seconds
    clients = [multiprocessing.Process(target=client, args=(i, end, told)) for i in range(CLIENTS)]
    for one in clients:
        one.start()
    result = {"mode": mode, "transactions": 0, "timeouts": 0, "left": 0, "longest_wait": 0}
    while any(one.is_alive() for one in clients) or not told.empty():
        if told.empty():
            time.sleep(0.05)
            continue
        for key, value in told.get().items():
            result[key] = max(result[key], value) if key == "longest_wait" else result[key] + value
    assert all(one.exitcode == 0 for one in clients), [one.exitcode for one in clients]
    return result


def main():
    database = connect()
    database.execute("CREATE TABLE ledger (client INTEGER PRIMARY KEY, rows INTEGER, value INTEGER)")
    for i in range(CLIENTS):
        database.execute(f"CREATE TABLE t{i} (value INTEGER, data BLOB)")
        database.execute("INSERT INTO ledger VALUES (?, 0, 0)", (i,))
    for mode, page_bytes in PHASES:
        # The size of pages changes with VACUUM alone, and not while there is a log.
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute(f"PRAGMA page_size = {page_bytes}")
        database.execute("VACUUM")
        assert database.execute("PRAGMA page_size").fetchone() == (page_bytes,)
        database.close()
        result = run_phase(mode, SECONDS / len(PHASES))
        database = connect()
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        look(database)
        print(json.dumps(result), flush=True)


main()
