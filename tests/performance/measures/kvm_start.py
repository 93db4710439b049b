# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import time

from figures import ROOT, TOOLS, VMM, compare, peer, summary

sys.path.insert(0, str(ROOT / "tests/support/run_vmm"))
import run_vmm  # noqa: E402

MEMORY_MIB = 128
IN_MODIFY = 2


class Changes:
    """Waits for a file to be written to."""

    def __init__(self, path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init()
        if self.libc.inotify_add_watch(self.descriptor, os.fsencode(path), IN_MODIFY) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))

    def wait(self):
        os.read(self.descriptor, 4096)

    def close(self):
        os.close(self.descriptor)


def overhead_kib(pid):
    """Resident memory of the process but for its guest's."""
    total = 0
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            if field := re.match(r"Size:\s+(\d+) kB", line):
                guest = int(field[1]) >= MEMORY_MIB << 9  # RAM may lie in two pieces
            elif (field := re.match(r"Rss:\s+(\d+) kB", line)) and not guest:
                total += int(field[1])
    return total


def end(process):
    process.terminate()
    process.wait()


def our_start(directory):
    """Spawn to the guest's first byte, and the memory beside the guest's."""
    console = directory / "console.log"
    console.touch()
    changes = Changes(console)
    machine = run_vmm.Machine(argparse.Namespace(
        vmm=VMM, kernel=TOOLS / "first_instruction", initramfs=None, directory=str(directory),
        command_line="", disk=[], vcpus=1, memory_mib=MEMORY_MIB, cid=3, boot_timeout_ms=0,
        engine="kvm", emulated_ring0=False, qemu="", rng=True, balloon=True, net_mtu=0, mount=[]))
    while b"!" not in console.read_bytes():
        changes.wait()
    elapsed = time.monotonic() - machine.started
    changes.close()
    resident = overhead_kib(machine.process.pid) / 1024
    end(machine.process)
    return elapsed * 1e3, resident


def firecracker_start(firecracker, configuration):
    start = time.monotonic()
    process = subprocess.Popen(
        [firecracker, "--no-api", "--no-seccomp", "--level", "Error", "--config-file",
         configuration], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    while byte := process.stdout.read(1):
        if byte == b"!":
            break
    else:
        raise RuntimeError("Firecracker ended before its guest's first byte")
    elapsed = time.monotonic() - start
    end(process)
    return elapsed * 1e3


def measure(daemon, directory, runs):
    """Engine kvm: from the VMM's spawn to a byte from the guest's first instructions; memory beside RAM.

    The peer is Firecracker, without its API and without its seccomp filter; our machine has a vsock, a
    random number device and a balloon more than it.
    """
    firecracker = peer("MSB_FIRECRACKER", "firecracker", "its releases on GitHub")
    configuration = directory / "firecracker.json"
    configuration.write_text(json.dumps({
        "boot-source": {"kernel_image_path": str(TOOLS / "first_instruction"), "boot_args": ""},
        "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": MEMORY_MIB}}))
    ours, theirs, memory = [], [], []
    for number in range(runs + 1):
        place = directory / str(number)
        place.mkdir()
        elapsed, resident = our_start(place)
        peers = firecracker_start(firecracker, configuration)
        if number > 0:  # the first pair warms the page cache
            ours.append(elapsed)
            memory.append(resident)
            theirs.append(peers)
    return {"start": compare(ours, theirs, "ms", "at most 1"),
            "memory_beside_the_guest": summary(memory, "MiB") | {"promise": "at most 5"}}
