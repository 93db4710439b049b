# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Root of a guest against its mounts: finds no way out and no crash (tests/support/mounts/attack.py)."""
import os
import pathlib
import secrets
import shutil
import socket
import stat
import tempfile
import threading

import pytest

from conftest import SANITIZED_FS, Box

ATTACK = pathlib.Path(__file__).parents[1] / "support/mounts/attack.py"
QUOTA_MIB = 64  # more than all attacks that are held take


@pytest.fixture
def place():
    """On the host: the directories `rw` and `ro`, which are mounted, and `outside` beside them."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="msb-attack-", dir="/var/tmp"))
    for name in ("rw", "ro", "outside"):
        (path / name).mkdir()
        (path / name / "file").write_text(f"{name}\n")
    (path / "outside/secret").write_text(secrets.token_hex(16))
    (path / "outside/secret").chmod(0o600)
    os.mkfifo(path / "rw/host-fifo")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path / "rw/host-socket"))
    server.listen()
    (path / "rw/host-setuid").write_text("#!/bin/sh\n")
    (path / "rw/host-setuid").chmod(0o6755)
    yield path
    server.close()
    shutil.rmtree(path)


def swap(path, done):
    """`host-swap` is a directory and a link to what lies outside, in turn, without a pause."""
    here, spare = path / "rw/host-swap", path / "rw/.spare"
    here.mkdir()
    while not done.is_set():
        here.rename(spare)
        here.symlink_to(path / "outside")
        here.unlink()
        spare.rename(here)


def snapshot(path):
    return {entry.relative_to(path): (entry.lstat().st_mode, entry.lstat().st_size)
            for entry in path.rglob("*")}


def taken(path):
    inodes = {entry.lstat().st_ino: entry.lstat().st_blocks for entry in path.rglob("*")}
    return 512 * sum(inodes.values())


@pytest.mark.parametrize("option", ["", f":quota={QUOTA_MIB}M"], ids=["plain", "quota"])
def test_a_root_guest_finds_no_way_out(new_daemon, place, option):
    daemon = new_daemon("[mounts]\nmax_inodes = 2048\nmax_open_files = 128")
    secret = (place / "outside/secret").read_text()
    before = {name: snapshot(place / name) for name in ("ro", "outside")}
    box = Box(daemon, "--image", "default", "--network", "none",
              "-v", f"{place}/rw:/rw{option}", "-v", f"{place}/ro:/ro:ro")
    if SANITIZED_FS:
        assert "libasan" in pathlib.Path(f"/proc/{box.companion('fs')}/maps").read_text()
    done = threading.Event()
    swapper = threading.Thread(target=swap, args=(place, done))
    swapper.start()
    try:
        tried = box.exec("python3", "-", secret, str(place / "outside"), stdin=ATTACK.open("rb"),
                         timeout=600)
    finally:
        done.set()
        swapper.join()

    lines = tried.stdout.decode().splitlines()
    assert lines and all(line.startswith("held ") for line in lines), tried.stdout.decode()
    assert len(lines) == ATTACK.read_text().count("@attack\n")
    # And, seen from the host:
    assert {name: snapshot(place / name) for name in before} == before
    assert (place / "outside/secret").read_text() == secret
    assert not option or taken(place / "rw") <= QUOTA_MIB << 20
    for entry in (place / "rw").rglob("*"):
        mode = entry.lstat().st_mode
        assert not stat.S_ISCHR(mode) and not stat.S_ISBLK(mode), entry
        assert not mode & 0o6000 or stat.S_ISDIR(mode), entry
    companions = daemon.inspect(box.name)["companions"]
    assert all(one["state"] == "running" for one in companions), companions
    assert daemon.state(box.name) == "running"
