# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""The cage of a running VMM, seen from outside. What the VMM starts (QEMU) is in it too."""
import os
import pathlib
import re

import pytest

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


@pytest.fixture(scope="module")
def processes(box):
    """Every process in the sandbox's cgroup."""
    found = in_cgroup(box, "")
    assert len(found) == {"kvm": 1, "qemu": 2}[box.engine]
    return found


def in_cgroup(box, companion):
    name = f"/{box.daemon.inspect(box.name)['id']}{companion}\n"
    return [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit()
            and name in read(entry / "cgroup")]


def read(path):
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""


def status(pid):
    return dict(re.findall(r"^(\w+):\t(.*)$", read(pathlib.Path(f"/proc/{pid}/status")), re.M))


def test_each_has_a_user_of_its_own_and_no_privilege(processes):
    for pid in processes:
        fields = status(pid)
        assert len(set(fields["Uid"].split())) == 1 and int(fields["Uid"].split()[0]) >= 1880000000
        assert fields["Gid"].split() == fields["Uid"].split()
        assert not fields["Groups"].strip()
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(fields[capabilities], 16) == 0, capabilities
        assert fields["NoNewPrivs"] == "1"


def test_each_is_in_namespaces_of_its_own(processes):
    for pid in processes:
        for name in NAMESPACES:
            assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name


def test_the_root_holds_nothing_of_the_host(processes, box):
    for pid in processes:
        root = pathlib.Path(f"/proc/{pid}/root")
        inside = {str(path.relative_to(root)) for path in (*root.iterdir(), *root.glob("dev/*"))}
        assert inside <= ({"dev", "dev/null", "proc", "qemu"} if box.engine == "qemu" else set())
        with pytest.raises(OSError):
            open(f"/proc/{pid}/root/new", "w", encoding="ascii")


def test_the_host_has_its_limits(processes):
    for pid in processes:
        limits = read(pathlib.Path(f"/proc/{pid}/limits"))
        assert re.search(r"Max core file size\s+0\s+0\s", limits)
        controllers = {line.split(":")[1]: line.split(":")[2]
                       for line in read(pathlib.Path(f"/proc/{pid}/cgroup")).splitlines()}
        held = {name for names, path in controllers.items() if path != "/" for name in names.split(",")}
        assert held >= {"memory", "cpu", "pids"} or held == {""}  # v1, or v2


def test_nobody_attaches_to_the_vmm(processes):
    # A process that may not be dumped has root's files in /proc.
    assert os.stat(f"/proc/{min(processes)}/environ").st_uid == 0


def test_only_what_it_needs_is_open(processes, box):
    allowed = re.compile(r"^(anon_inode:|pipe:|socket:|/memfd:|/dev/null$|/dev/kvm$|/dev/shm/$)|"
                         r"(\.erofs|\.ext4|vmlinux|initramfs\.cpio|disk|\.log|exit-event"
                         r"|exit_event)( \(deleted\))?$|^/qemu/|^/(dev/)?zero")
    for pid in processes:
        for entry in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
            assert allowed.search(target), f"{pid} has {target}"


def test_the_network_has_a_user_of_its_own_and_only_the_hosts_network(box, processes):
    (pid,) = in_cgroup(box, "+net")
    fields = status(pid)
    assert int(fields["Uid"].split()[0]) >= 1880000000
    assert fields["Uid"] != status(processes[0])["Uid"]
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert os.listdir(f"/proc/{pid}/root") == []
    shared = {name for name in NAMESPACES
              if os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}")}
    assert "net" in shared and not shared & {"mnt", "pid", "ipc", "uts"}
