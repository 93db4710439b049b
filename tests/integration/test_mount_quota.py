# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""How much a sandbox may add to a mount (docs/mounts.md, "Quotas")."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from conftest import ENGINES, Box

IMAGE = ("--image", "busybox", "--network", "none")
MIB = 1 << 20
QUOTA = 2 * MIB
# A directory grows by whole blocks, which are counted when they are there.
SLACK = 64 << 10
# Of file systems that say at once what a file takes (file-server/quota/file_space.cc).
COUNT_AT_ONCE = {0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994}


@pytest.fixture
def host():
    kind = subprocess.check_output(["stat", "-f", "-c", "%t", "/var/tmp"], text=True)
    if int(kind, 16) not in COUNT_AT_ONCE:
        pytest.skip(f"/var/tmp is a file system (0x{kind.strip()}) where a file counts by its size")
    path = pathlib.Path(tempfile.mkdtemp(prefix="msb-quota-", dir="/var/tmp"))
    (path / "old").write_bytes(os.urandom(4 * MIB))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make(daemon):
    made = []

    def make_box(*options, of=daemon):
        made.append(Box(of, *IMAGE, *options))
        return made[-1]

    yield make_box
    for box in made:
        box.remove()


def taken(path):
    inodes = {entry.lstat().st_ino: entry.lstat().st_blocks for entry in path.rglob("*")}
    return 512 * (sum(inodes.values()) + path.stat().st_blocks)


def refused(box, script):
    result = box.exec("sh", "-c", script, check=False)
    assert result.returncode != 0, script
    assert b"uota exceeded" in result.stderr, result.stderr


def kib_left(box):
    return int(box.sh("df -Pk /q | tail -1").split()[3])


def wait_for_room(box, kib):
    """The guest's kernel tells of what it has forgotten a moment later."""
    end = time.monotonic() + 30
    while kib_left(box) < kib:
        assert time.monotonic() < end, (kib_left(box), kib)
        time.sleep(0.1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mount_grows_by_its_quota_and_no_further(daemon, make, host, engine):
    before = taken(host)
    box = make("--engine", engine, "-v", f"{host}:/q:quota=2M")
    assert int(daemon.inspect(box.name)["spec"]["mounts"][0]["quota_bytes"]) == QUOTA
    assert box.sh("df -Pk /q | tail -1").split()[1] == "2048"
    box.sh("dd if=/dev/zero of=/q/a bs=64k count=16 2>&1")
    refused(box, "dd if=/dev/zero of=/q/b bs=64k count=32")
    assert taken(host) - before <= QUOTA + SLACK
    # What was there is no room, and what is full may be written over.
    box.sh("dd if=/dev/zero of=/q/a bs=64k count=16 conv=notrunc 2>&1; : > /q/old; rm /q/old")
    refused(box, "dd if=/dev/zero of=/q/c bs=64k count=32")
    # What the guest has made itself is, once nobody has it open.
    box.sh("rm -f /q/a /q/b /q/c")
    wait_for_room(box, 2000)
    box.sh("dd if=/dev/zero of=/q/d bs=64k count=28 2>&1")


def test_tricks_gain_nothing(make, host):
    before = taken(host)
    box = make("-v", f"{host}:/q:quota=2M", "-v", f"{host}:/seen:ro")
    # Sparse, and then filled; names without content; names of what is there.
    box.sh("truncate -s 1G /q/sparse")
    refused(box, "dd if=/dev/zero of=/q/sparse bs=64k seek=100 count=40 conv=notrunc")
    box.sh("rm /q/sparse")
    wait_for_room(box, 2000)
    refused(box, "i=0; while mkdir /q/d$i; do i=$((i+1)); done; exit 1")
    assert len(list(host.glob("d*"))) <= QUOTA // 4096
    box.sh("rm -r /q/d*")
    wait_for_room(box, 2000)
    refused(box, "i=0; while ln /q/old /q/l$i; do i=$((i+1)); done; exit 1")
    assert len(list(host.glob("l*"))) <= QUOTA // 4096
    box.sh("rm /q/l*")
    # Deleted, and still open: here, and where it can only be read.
    held = """for i in 1 2 3; do dd if=/dev/zero of=/q/$1$i bs=64k count=12 || exit 1
              eval "exec $((i+3))< /$1/$1$i"; rm /q/$1$i; done"""
    for place in ("q", "seen"):
        wait_for_room(box, 1900)
        refused(box, f"set {place}; {held}")
        box.sh(f"rm -f /q/{place}*")
    assert taken(host) - before <= QUOTA + SLACK


def test_each_start_has_its_own(daemon, make, host):
    box = make("-v", f"{host}:/q:quota=2M")
    box.sh("dd if=/dev/zero of=/q/a bs=64k count=28 2>&1")
    refused(box, "dd if=/dev/zero of=/q/b bs=64k count=28")
    daemon.msbctl("restart", box.name)
    box.sh("rm -f /q/b; dd if=/dev/zero of=/q/b bs=64k count=28 2>&1")


def test_the_configuration_has_one_for_those_that_name_none(new_daemon, make, host):
    daemon = new_daemon("[mounts]\nquota_mib = 1")
    box = make("-v", f"{host}:/q", of=daemon)
    assert int(daemon.inspect(box.name)["spec"]["mounts"][0]["quota_bytes"]) == MIB
    refused(box, "dd if=/dev/zero of=/q/a bs=64k count=17")


def test_what_cannot_have_one_is_said(daemon, host):
    def refusal(*options):
        result = daemon.msbctl("create", *IMAGE, *options, check=False)
        assert result.returncode != 0
        return result.stderr.decode()

    assert "what is read-only does not grow" in refusal("-v", f"{host}:/q:ro,quota=1G")
    assert "is none of ro, rw, quota=SIZE" in refusal("-v", f"{host}:/q:quota=much")
    daemon.msbctl("volume", "create", "e2e-quota", "--size", "64M")
    try:
        assert "is a disk of a size" in refusal("-v", "e2e-quota:/q:quota=1G")
    finally:
        daemon.msbctl("volume", "rm", "e2e-quota")
