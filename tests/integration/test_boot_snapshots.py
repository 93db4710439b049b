# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Starts that go on from a boot snapshot (docs/boot-snapshots.md)."""
import json
import os
import pathlib
import signal
import tarfile
import time

import pytest

from conftest import ENGINES, Box
from hand_made_images import HandMade
from layer_images import BUSYBOX, Layer

AT_ONCE = '[boot_snapshots]\ndelay = "0"\n'
MAKING_SECONDS = 300  # a boot on an emulated ring 0, on a host that is busy


def stages(server, name):
    return [stage["name"] for stage in server.inspect(name)["start_stages"]]


def snapshot_directory(server, engine, memory=128):
    return server.data / "state/boot-snapshots" / f"{engine}-1-{memory}"


def await_snapshot(server, engine, memory=128):
    """The identity is written last."""
    identity = snapshot_directory(server, engine, memory) / "identity"
    deadline = time.monotonic() + MAKING_SECONDS
    while not identity.exists():
        assert time.monotonic() < deadline, server.log.read_text()[-3000:]
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(new_daemon):
    return new_daemon(AT_ONCE)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, server):
    """An engine whose snapshot is there: one sandbox has booted."""
    first = Box(server, "--engine", request.param, "--image", "busybox", "--memory", "128")
    assert "machine_ready" in stages(server, first.name)
    await_snapshot(server, request.param)
    first.remove()
    return request.param


@pytest.fixture(scope="module")
def restored(server, engine):
    made = Box(server, "--engine", engine, "--image", "busybox", "--memory", "128", "--name",
               f"restored-{engine}")
    yield made
    made.remove()


def test_the_second_start_goes_on_from_it(server, engine, restored):
    assert "machine_restored" in stages(server, restored.name)
    assert "machine_ready" not in stages(server, restored.name)
    assert restored.output("cat", "/proc/sys/kernel/hostname").strip() == f"restored-{engine}"
    assert restored.sh("echo $((6 * 7))") == "42\n"


def test_it_has_its_devices_and_their_file_systems(restored):
    mounts = restored.output("cat", "/proc/mounts")
    assert " / overlay " in mounts
    restored.sh("echo kept > /file && sync && test $(cat /file) = kept")
    assert {"vda", "vdb"} <= set(restored.output("ls", "/sys/block").split())
    assert "eth0" in restored.output("cat", "/proc/net/route")
    for system in ("/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/run"):
        assert sum(line.split()[1] == system for line in mounts.splitlines()) == 1, system
    assert restored.sh("readlink /dev/fd").strip() == "/proc/self/fd"


def test_what_can_wait_comes_behind_the_start(restored):
    deadline = time.monotonic() + 60
    while "virtio_balloon" not in (drivers := restored.sh(
            "ls -d /sys/bus/virtio/drivers/*/virtio*")):
        assert time.monotonic() < deadline, drivers
        time.sleep(0.2)
    assert "virtio_rng" in drivers
    assert restored.sh("head -c 8 /dev/hwrng | wc -c").strip() == "8"


def test_its_clock_is_the_hosts(restored):
    assert abs(int(restored.output("date", "+%s")) - time.time()) < 60


def test_no_two_of_them_draw_the_same_numbers(server, engine):
    """By their first command, which comes at the same point of both lives."""
    drawn = []
    for _ in range(2):
        made = Box(server, "--engine", engine, "--image", "busybox", "--memory", "128")
        drawn.append(made.output("cat", "/proc/sys/kernel/random/uuid"))
        assert "machine_restored" in stages(server, made.name)
        made.remove()
    assert drawn[0] != drawn[1]


def test_it_stops_in_order_and_starts_again(server, restored):
    restored.sh("echo still > /here")
    server.msbctl("stop", restored.name)
    assert server.state(restored.name) == "stopped"
    server.msbctl("start", restored.name)
    assert "machine_restored" in stages(server, restored.name)
    assert restored.output("cat", "/here") == "still\n"


def test_doctor_names_it(server, engine, restored):
    shown = server.msbctl("doctor", "--format", "json", check=False).stdout.decode()
    findings = {check["name"]: check["finding"] for check in map(json.loads, shown.splitlines())}
    assert f"{engine}-1-128" in findings["boot-snapshots"]


@pytest.mark.parametrize("broken", ["state", "memory"])
def test_a_start_survives_a_broken_snapshot(new_daemon, broken):
    server = new_daemon(AT_ONCE)
    arguments = ("--engine", ENGINES[0], "--image", "busybox", "--memory", "128")
    Box(server, *arguments).remove()
    await_snapshot(server, ENGINES[0])
    path = snapshot_directory(server, ENGINES[0]) / broken
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    second = Box(server, *arguments)
    assert "machine_ready" in stages(server, second.name)
    assert second.sh("echo works") == "works\n"
    assert "no boot snapshot of" in server.log.read_text()
    third = Box(server, *arguments)
    assert "machine_ready" in stages(server, third.name)


def test_a_broken_snapshot_stops_no_start_with_ports(new_daemon):
    """What serves the machine ends with it, while it is still being told what to do."""
    server = new_daemon(AT_ONCE)
    arguments = ("--engine", ENGINES[0], "--image", "busybox", "--memory", "128")
    Box(server, *arguments).remove()
    await_snapshot(server, ENGINES[0])
    with (snapshot_directory(server, ENGINES[0]) / "memory").open("r+b") as file:
        file.truncate(1 << 20)
    box = Box(server, *arguments, "-p", "0:80")
    assert "machine_ready" in stages(server, box.name)
    assert server.inspect(box.name)["spec"]["network"]["ports"][0]["bound_port"] != 0


def test_an_image_with_links_where_the_system_goes_starts_from_one(server, engine, tmp_path):
    layer = Layer()
    for name in ("bin", "dev", "proc", "var", "var/run"):
        layer.directory(name)
    layer.add("bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
    layer.add("run", type=tarfile.SYMTYPE, linkname="/var/run")
    archive = HandMade([layer.bytes()]).archive(tmp_path / "links.tar", "links:1")
    server.msbctl("image", "load", "-i", archive)
    box = Box(server, "--engine", engine, "--image", "links:1", "--memory", "128")
    assert "machine_restored" in stages(server, box.name)
    assert " /var/run tmpfs " in box.output("/bin/busybox", "cat", "/proc/mounts")
    box.remove()


def test_a_daemon_that_dies_while_it_makes_one_leaves_nothing(new_daemon):
    server = new_daemon(AT_ONCE)
    arguments = ("--engine", ENGINES[0], "--image", "busybox", "--memory", "128")
    making = server.data / "state/boot-snapshots/.making"
    Box(server, *arguments)
    deadline = time.monotonic() + MAKING_SECONDS
    while not making.exists():
        assert time.monotonic() < deadline, server.log.read_text()[-3000:]
        time.sleep(0.001)
    os.kill(server.pid, signal.SIGKILL)
    server.start()
    assert not making.exists()
    assert not list(pathlib.Path(server.runtime / "sandboxes").glob("boot-snapshot-*"))
    Box(server, *arguments)
    await_snapshot(server, ENGINES[0])


def test_none_is_made_when_they_are_off(new_daemon):
    server = new_daemon('[boot_snapshots]\nmax_count = 0\ndelay = "0"\n')
    arguments = ("--engine", ENGINES[0], "--image", "busybox", "--memory", "128")
    for _ in range(2):
        box = Box(server, *arguments)
        assert "machine_ready" in stages(server, box.name)
        box.remove()
    assert not list((server.data / "state/boot-snapshots").iterdir())
