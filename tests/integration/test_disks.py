# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Disks of any size, volumes and memory mounts, in real guests."""
import pytest

from conftest import Box


@pytest.fixture
def make(daemon):
    """Makes sandboxes on the engine that the host runs best, and removes them."""
    made = []

    def make_box(*options):
        made.append(Box(daemon, "--image", "busybox", *options))
        return made[-1]

    yield make_box
    for box in made:
        box.remove()


@pytest.fixture
def volume(daemon):
    name = "e2e-volume"
    daemon.msbctl("volume", "create", name, "--size", "32M")
    yield name
    for box in daemon.json("volume", "inspect", name).get("used_by", []):
        daemon.msbctl("rm", "-f", box)
    daemon.msbctl("volume", "rm", name)


def root_mib(box):
    """Size of the root's file system, and what is free of it."""
    total, free = box.sh("df -m / | tail -n 1").split()[1:4:2]
    return int(total), int(free)


def test_a_small_disk_is_small_and_when_full_nothing_but_full(make):
    box = make("--disk", "16M")
    total, _ = root_mib(box)
    assert 8 <= total <= 16

    full = box.exec("sh", "-c", "dd if=/dev/zero of=/root/fill bs=1M count=64", check=False)

    assert full.returncode != 0
    assert b"No space left on device" in full.stderr
    assert box.sh("rm /root/fill && echo fine > /root/after && cat /root/after") == "fine\n"


@pytest.mark.parametrize("size,mib", [("100M", 100), ("5G", 5120), ("60G", 61440)])
def test_a_disk_between_two_templates_has_its_whole_size(make, size, mib):
    total, _ = root_mib(make("--disk", size))
    assert mib * 0.8 <= total <= mib


def test_a_disk_grows_at_the_next_start_and_keeps_what_is_in_it(daemon, make):
    box = make("--disk", "64M")
    before, _ = root_mib(box)
    box.sh("echo kept > /root/file")
    daemon.msbctl("update", box.name, "--disk", "300M")
    daemon.msbctl("restart", box.name)
    after, _ = root_mib(box)
    assert after > before + 200
    assert box.sh("cat /root/file") == "kept\n"
    smaller = daemon.msbctl("update", box.name, "--disk", "100M", check=False)
    assert smaller.returncode != 0 and b"INVALID_RESOURCES" in smaller.stderr


def test_a_disk_in_memory_is_empty_after_a_start(daemon, make):
    box = make("--disk", "memory")
    box.sh("echo gone > /root/file")
    daemon.msbctl("restart", box.name)
    assert box.exec("test", "-e", "/root/file", check=False).returncode != 0


def test_a_full_disk_in_memory_is_full_and_nothing_else(make):
    box = make("--disk", "memory", "--memory", "256")
    full = box.exec("sh", "-c", "dd if=/dev/zero of=/root/fill bs=1M count=512", check=False)
    assert b"No space left on device" in full.stderr
    assert box.sh("rm /root/fill && echo fine > /root/after && cat /root/after") == "fine\n"


def test_a_disk_goes_with_its_sandbox(daemon, make):
    box = make("--disk", "64M")
    identity = daemon.inspect(box.name)["id"]

    def places():
        return [path for top in (daemon.data, daemon.runtime) for path in top.rglob(f"*{identity}*")]

    box.sh("echo kept > /root/file")
    assert places()
    box.remove()
    assert places() == []


def test_a_volume_outlives_its_sandboxes(daemon, make, volume):
    first = make("-v", f"{volume}:/data")
    first.sh("echo kept > /data/file")
    in_use = daemon.msbctl("volume", "rm", volume, check=False)
    assert in_use.returncode != 0 and b"VOLUME_IN_USE" in in_use.stderr
    daemon.msbctl("stop", first.name)
    daemon.msbctl("rm", first.name)

    second = make("-v", f"{volume}:/data:ro")

    assert second.sh("cat /data/file") == "kept\n"
    refused = second.exec("sh", "-c", "echo x > /data/file", check=False)
    assert b"Read-only file system" in refused.stderr


def test_a_volume_that_is_written_has_one_sandbox(make, daemon, volume):
    make("-v", f"{volume}:/data")
    second = daemon.msbctl("create", "--image", "busybox", "-v", f"{volume}:/data", check=False)
    assert second.returncode != 0 and b"in use by another sandbox" in second.stderr


def test_a_tmpfs_has_its_size(make):
    box = make("--tmpfs", "/scratch:8M")
    assert box.sh("df -m /scratch | tail -n 1").split()[1] == "8"
    full = box.exec("sh", "-c", "dd if=/dev/zero of=/scratch/fill bs=1M count=16", check=False)
    assert b"No space left on device" in full.stderr


def test_a_volume_that_is_not_there_is_told(daemon):
    result = daemon.msbctl("create", "-v", "nonesuch:/data", check=False)
    assert result.returncode != 0 and b"VOLUME_NOT_FOUND" in result.stderr
