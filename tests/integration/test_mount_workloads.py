# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""What people do in a mounted directory: packages, repositories, builds, databases."""
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import zipfile

import pytest

from conftest import Box

SUPPORT = pathlib.Path(__file__).parents[1] / "support/mounts"
STRESS, CLIENTS = SUPPORT / "sqlite_stress.py", SUPPORT / "sqlite_clients.py"


@pytest.fixture(scope="module")
def work():
    path = pathlib.Path(tempfile.mkdtemp(prefix="msb-work-", dir="/var/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def mounted(daemon, work):
    """A sandbox with `work` as /work, and the host's programs, a compiler among them, as its /usr."""
    box = Box(daemon, "--image", "default", "--memory", "768", "--network", "none",
              "-v", f"{work}:/work", "-v", "/usr:/usr:ro")
    yield box
    box.remove()


def test_a_wheel_is_installed(daemon, work):
    wheel = work / "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("greeting/__init__.py", "TEXT = 'hello from a wheel'\n")
        for i in range(50):
            archive.writestr(f"greeting/part{i}.py", f"NUMBER = {i}\n")
        archive.writestr("greeting-1.0.dist-info/METADATA",
                         "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        archive.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: by hand\n"
                         "Root-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("greeting-1.0.dist-info/RECORD", "")
    box = Box(daemon, "--image", "default", "--network", "none", "-v", f"{work}:/work")
    try:
        box.sh(f"pip install -q --no-index --target /work/site /work/{wheel.name}", timeout=300)
        assert box.sh("PYTHONPATH=/work/site python3 -c 'import greeting, greeting.part7; "
                      "print(greeting.TEXT, greeting.part7.NUMBER)'") == "hello from a wheel 7\n"
    finally:
        box.remove()
    assert (work / "site/greeting/__init__.py").read_text().startswith("TEXT")


def test_a_mounted_repository_is_cloned_and_committed_to(mounted, work):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *map(str, arguments)],
                       check=True, capture_output=True, cwd=work)

    git("init", "-q", "-b", "main", work / "origin")
    for i in range(120):
        (work / f"origin/file{i}").write_text(f"{i}\n" * (i + 1))
    git("-C", work / "origin", "add", ".")
    git("-C", work / "origin", "commit", "-q", "-m", "one")
    mounted.sh("cd /work && git clone -q origin clone && cd clone && "
               "git config user.name guest && git config user.email guest@guest && "
               "echo more >> file7 && git mv file8 moved && git commit -q -a -m two && "
               "git push -q origin main:theirs && git gc -q && git fsck --strict", timeout=300)
    log = subprocess.run(["git", "-C", work / "origin", "log", "--format=%s", "theirs"], check=True,
                         capture_output=True)
    assert log.stdout.split() == [b"two", b"one"]
    subprocess.run(["git", "-c", f"safe.directory={work}/clone", "-C", work / "clone", "fsck"],
                   check=True, capture_output=True)


MAKEFILE = """
objects = $(addsuffix .o, $(basename $(wildcard part*.c) main.c))
program: $(objects)
\tgcc-12 -o $@ $(objects)
%.o: %.c common.h
\tgcc-12 -O1 -c -o $@ $<
"""


def test_a_program_is_compiled_and_only_what_changed_again(mounted, work):
    """The compiler runs from a read-only mount, its objects go into a writable one."""
    source = work / "program"
    source.mkdir()
    for i in range(6):
        (source / f"part{i}.c").write_text(
            f'#include "common.h"\nint part{i}(void) {{ return FACTOR * {i}; }}\n')
    declared = "".join(f"int part{i}(void);\n" for i in range(6))
    (source / "common.h").write_text("#define FACTOR 2\n" + declared)
    sum_of_all = " + ".join(f"part{i}()" for i in range(6))
    (source / "main.c").write_text('#include <stdio.h>\n#include "common.h"\n'
                                   f'int main(void) {{ printf("%d\\n", {sum_of_all}); return 0; }}\n')
    (source / "Makefile").write_text(MAKEFILE)
    first = mounted.sh("cd /work/program && make program && ./program", timeout=600)
    assert first.count("gcc-12") == 8 and first.endswith("\n30\n")
    assert "up to date" in mounted.sh("cd /work/program && make program")
    (source / "part3.c").write_text('#include "common.h"\nint part3(void) { return 100; }\n')
    again = mounted.sh("cd /work/program && sleep 1.1 && make program && ./program", timeout=600)
    assert again.count("gcc-12") == 2 and again.endswith("\n124\n")


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE"])
def test_a_database_survives_its_writers(mounted, work, mode):
    told = mounted.exec("python3", "-", f"/work/{mode}.db", mode, "12", stdin=STRESS.open("rb"),
                        timeout=300)
    assert b"writers killed" in told.stdout
    database = sqlite3.connect(work / f"{mode}.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("SELECT sum(amount) FROM account").fetchone() == (0,)
    database.close()


def test_a_database_has_clients_in_all_journal_modes(mounted, work):
    """On the mount as on the guest's own disk: no client waits in vain there that does not here."""
    def run(path):
        told = mounted.exec("python3", "-", path, "16", stdin=CLIENTS.open("rb"), timeout=600)
        return {line["mode"]: line for line in map(json.loads, told.stdout.splitlines())}

    here, there = run("/work/clients.db"), run("/root/clients.db")
    assert set(here) == set(there) == {"DELETE", "TRUNCATE", "PERSIST", "WAL"}
    for mode, result in here.items():
        assert result["transactions"] > 5 and result["left"] > 0, here
        assert result["timeouts"] <= there[mode]["timeouts"], (here, there)
    database = sqlite3.connect(work / "clients.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_a_database_survives_the_power_cut_of_its_sandbox(daemon, work):
    """The machine is killed in the middle of a transaction: what was committed is on the host."""
    box = Box(daemon, "--image", "default", "--network", "none", "-v", f"{work}:/work")
    try:
        writer = daemon.popen("exec", box.name, "--", "python3", "-u", "-c", """
import sqlite3
database = sqlite3.connect("/work/cut.db", isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE log (serial INTEGER PRIMARY KEY, data BLOB)")
for serial in range(10**9):
    database.execute("INSERT INTO log VALUES (?, randomblob(3000))", (serial,))
    print(serial)
""")
        last = -1
        while last < 150:
            last = int(writer.stdout.readline())
        daemon.msbctl("stop", "--force", box.name)
        writer.kill()
        rest = writer.communicate()[0].split()
        last = int(rest[-2]) if len(rest) > 1 else last  # the very last line may be cut
    finally:
        box.remove()
    database = sqlite3.connect(work / "cut.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("SELECT count(*) FROM log").fetchone()[0] >= last + 1
    database.close()


def test_a_large_file_is_the_same_on_both_sides_while_others_are_busy(mounted, work):
    data = os.urandom(1 << 20) * 96
    (work / "large").write_bytes(data)
    busy = threading.Thread(target=lambda: mounted.sh(
        "mkdir /work/many; for i in $(seq 300); do echo $i > /work/many/$i; done", timeout=300))
    busy.start()
    told = mounted.sh("sha256sum /work/large; cp /work/large /work/copy; sync; sha256sum /work/copy",
                      timeout=300).split()
    busy.join()
    expected = hashlib.sha256(data).hexdigest()
    assert told[0] == expected and told[2] == expected
    assert hashlib.sha256((work / "copy").read_bytes()).hexdigest() == expected
    assert len(list((work / "many").iterdir())) == 300
