# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Processes that write to one SQLite database, and die in the middle: run in a guest on a mount.

    sqlite_stress.py DATABASE JOURNAL_MODE SECONDS

Each transaction moves an amount between two accounts and notes it in a log, so that a transaction that
was cut, lost or seen by halves shows: the sum of all accounts is always 0, and every transfer that was
acknowledged is in the log. Ends with 0 and one line when all of that holds.
"""
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import time

PATH, MODE, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
ACCOUNTS, WRITERS = 20, 3


def connect():
    database = sqlite3.connect(PATH, timeout=120, isolation_level=None)
    database.execute(f"PRAGMA journal_mode = {MODE}")
    return database


def write(number, acknowledged):
    database = connect()
    for serial in range(10**9):
        one, other = random.sample(range(ACCOUNTS), 2)
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE account SET amount = amount - 7 WHERE id = ?", (one,))
        database.execute("INSERT INTO log VALUES (?, ?, ?)", (number, serial, os.urandom(500)))
        database.execute("UPDATE account SET amount = amount + 7 WHERE id = ?", (other,))
        database.execute("COMMIT")
        acknowledged.value = serial


def main():
    database = connect()
    database.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)")
    database.execute("CREATE TABLE log (writer INTEGER, serial INTEGER, data BLOB, "
                     "PRIMARY KEY (writer, serial))")
    database.executemany("INSERT INTO account VALUES (?, 0)", [(i,) for i in range(ACCOUNTS)])
    acknowledged, writers, killed = {}, {}, 0
    end = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < end:
        while len(writers) < WRITERS:
            # Without a lock: a writer that is killed would not give it back.
            acknowledged[number] = multiprocessing.Value("q", -1, lock=False)
            writers[number] = multiprocessing.Process(target=write, args=(number, acknowledged[number]))
            writers[number].start()
            number += 1
        time.sleep(random.random())
        assert database.execute("SELECT sum(amount) FROM account").fetchone() == (0,)
        victim = random.choice(list(writers))
        os.kill(writers[victim].pid, signal.SIGKILL)
        writers.pop(victim).join()
        killed += 1
    for writer in writers.values():
        writer.kill()
        writer.join()
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("SELECT sum(amount) FROM account").fetchone() == (0,)
    transfers = 0
    for writer, last in acknowledged.items():
        # What was acknowledged is there; the one that was under way may be.
        found = database.execute("SELECT count(*), max(serial) FROM log WHERE writer = ?",
                                 (writer,)).fetchone()
        assert found[0] in (last.value + 1, last.value + 2), (writer, last.value, found)
        transfers += found[0]
    print(f"{transfers} transfers, {killed} writers killed")
    assert transfers > 0 and killed > 0


main()
