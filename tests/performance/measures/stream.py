# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import os
import time

from conftest import Box
from figures import summary

def measure(daemon, directory, runs):
    """256 MiB into and out of a command in a warm sandbox."""
    box = Box(daemon, "--engine", "qemu")
    try:
        block = directory / "block"
        block.write_bytes(os.urandom(256 << 20))
        into, out = [], []
        for _ in range(runs):
            start = time.monotonic()
            with block.open("rb") as data:
                box.exec("sh", "-c", "cat >/dev/null", stdin=data)
            into.append(256 / (time.monotonic() - start))
            start = time.monotonic()
            box.exec("head", "-c", str(256 << 20), "/dev/zero")
            out.append(256 / (time.monotonic() - start))
        return {"into_the_guest": summary(into, "MiB/s"), "out_of_the_guest": summary(out, "MiB/s")}
    finally:
        box.remove()
