# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import subprocess

from conftest import Box
from figures import TOOLS, compare

def measure(daemon, directory, runs):
    """/bin/true in a warm sandbox through the API, beside fork, exec and wait in the same guest."""
    box = Box(daemon, "--engine", "qemu")
    try:
        daemon.msbctl("cp", TOOLS / "spawn_loop", f"{box.name}:/tmp/spawn_loop")
        ours, floor = [], []
        for _ in range(runs):
            out = subprocess.run([TOOLS / "msb-exec-round-trip", daemon.socket, box.name, "20",
                                  "/bin/true"], check=True, capture_output=True).stdout
            ours += [int(line) / 1e6 for line in out.split()]
            floor += [int(line) / 1e6 for line in
                      box.output("/tmp/spawn_loop", "20", "/bin/true").split()]
        return compare(ours, floor, "ms", "at most 1.3")
    finally:
        box.remove()
