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
WARM_UP = 3
DISK = "2560M"  # so that the second file lies where the first one was
PORT = 4000


def copy_seconds(daemon, source, target, replaced=None):
    os.sync()  # what was written before is not this copy's to wait for
    if replaced is not None:  # so late that its memory is still the host's
        subprocess.run(["rm", "-rf", replaced], check=True)
    start = time.monotonic()
    daemon.msbctl("cp", source, target, timeout=600)
    return time.monotonic() - start


def small_files(directory):
    for number in range(SMALL_FILES):
        folder = directory / str(number // 100)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).write_bytes(b"x" * 100)
    return directory


def measure(daemon, directory, runs):
    """`msbctl cp` of 1 GiB beside the raw vsock stream of the same sandbox; of 10,000 small files.

    The raw stream ends in a program that drops what it reads: a copy also writes it to a file. Rounds
    that are not counted come first, until the files lie in memory that the host had before: one that
    is a virtual machine itself gets each new page from its own host, which takes longer than the copy.
    """
    runs = min(runs, 7)  # each is some seconds
    box = Box(daemon, "--engine", "qemu", "--memory", "2048", "--disk", DISK)
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
        for number in range(WARM_UP + runs):
            if number == WARM_UP:
                figures = {name: [] for name in figures}
            figures["in"].append(MIB / copy_seconds(daemon, big, f"{box.name}:/tmp/big"))
            figures["raw_in"].append(line.into(MIB))
            figures["out"].append(
                MIB / copy_seconds(daemon, f"{box.name}:/tmp/big", directory / "back",
                                   directory / "back"))
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
