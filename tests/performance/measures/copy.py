# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import time

from conftest import Box
from figures import TOOLS, compare, summary
from vsock_line import Line

MIB = 1024
SMALL_FILES = 10_000
PORT = 4000


def copy_seconds(daemon, *arguments):
    start = time.monotonic()
    daemon.msbctl("cp", *arguments, timeout=600)
    return time.monotonic() - start


def small_files(directory):
    for number in range(SMALL_FILES):
        folder = directory / str(number // 100)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).write_bytes(b"x" * 100)
    return directory


def measure(daemon, directory, runs):
    """`msbctl cp` of 1 GiB beside the raw vsock stream of the same sandbox; of 10,000 small files.

    The raw stream ends in a program that drops what it reads: a copy also writes it to a file.
    """
    runs = min(runs, 3)  # each is some seconds
    box = Box(daemon, "--engine", "qemu", "--memory", "2048")
    try:
        daemon.msbctl("cp", TOOLS / "vsock_peer", f"{box.name}:/tmp/vsock_peer")
        box.exec("/tmp/vsock_peer", str(PORT), options=("-d",))
        sockets = daemon.runtime / "sandboxes" / daemon.inspect(box.name)["id"]
        line = Line(sockets / "vsock.sock", PORT)
        big, many = directory / "big", small_files(directory / "many")
        with big.open("wb") as file:
            for _ in range(MIB):
                file.write(os.urandom(1 << 20))
        figures = {name: [] for name in ("in", "raw_in", "out", "raw_out", "many_in", "many_out")}
        for number in range(runs):
            figures["in"].append(MIB / copy_seconds(daemon, big, f"{box.name}:/tmp/big"))
            figures["raw_in"].append(line.into(MIB))
            figures["out"].append(
                MIB / copy_seconds(daemon, f"{box.name}:/tmp/big", directory / "back"))
            figures["raw_out"].append(line.out_of(MIB))
            subprocess.run(["cmp", big, directory / "back"], check=True)
            figures["many_in"].append(copy_seconds(daemon, many, f"{box.name}:/tmp/many{number}"))
            figures["many_out"].append(
                copy_seconds(daemon, f"{box.name}:/tmp/many{number}", directory / f"many{number}"))
            box.exec("rm", "-rf", "/tmp/big", f"/tmp/many{number}")
        promise = "at least 1/1.2"
        return {"into_the_guest": compare(figures["in"], figures["raw_in"], "MiB/s", promise),
                "out_of_the_guest": compare(figures["out"], figures["raw_out"], "MiB/s", promise),
                "small_files_into_the_guest": summary(figures["many_in"], "s"),
                "small_files_out_of_the_guest": summary(figures["many_out"], "s")}
    finally:
        box.remove()
