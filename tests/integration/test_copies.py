# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Copies of large files that something happens to, and the ways that a copy takes."""
import filecmp
import os
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import time

import pytest
from conftest import Box

SIZE = 512 << 20
BEGUN = 32 << 20  # bytes after which a copy is in its middle


@pytest.fixture(scope="module")
def large():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="msb-copies-", dir="/var/tmp"))
    with (directory / "large").open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))
    yield directory / "large"
    shutil.rmtree(directory)


@pytest.fixture
def begin(daemon):
    """A copy that is under way."""
    def run(*arguments, of=daemon):
        process = of.popen("cp", *arguments)
        while process.poll() is None:
            counters = pathlib.Path(f"/proc/{process.pid}/io").read_text()
            if max(map(int, re.findall(r"[rw]char: (\d+)", counters))) > BEGUN:
                return process
            time.sleep(0.001)
        raise AssertionError(f"the copy ended {process.returncode}: {process.stderr.read()}")
    return run


def test_a_copy_outlives_the_daemon(new_daemon, begin, large):
    daemon = new_daemon()
    box = Box(daemon, "--network", "none")
    copy = begin(large, f"{box.name}:/root/large", of=daemon)
    os.kill(daemon.pid, signal.SIGKILL)
    assert copy.wait(120) == 0, copy.stderr.read()
    daemon.start()
    back = begin(f"{box.name}:/root/large", large.parent / "back", of=daemon)
    os.kill(daemon.pid, signal.SIGKILL)
    assert back.wait(120) == 0, back.stderr.read()
    daemon.start()
    assert filecmp.cmp(large, large.parent / "back", shallow=False)
    box.remove()


@pytest.mark.parametrize("outwards", [False, True])
def test_the_end_of_the_sandbox_ends_the_copy_with_its_reason(daemon, begin, large, outwards):
    box = Box(daemon, "--network", "none")
    back = large.parent / "gone"
    if outwards:
        box.sh(f"head -c {SIZE} /dev/urandom > /root/large", timeout=300)
        copy = begin(f"{box.name}:/root/large", back)
    else:
        copy = begin(large, f"{box.name}:/root/large")
    box.remove()
    assert copy.wait(30) not in (0, None)
    assert b"SANDBOX_" in copy.stderr.read()
    assert os.listdir(large.parent).count("gone") == 0


def test_a_client_that_is_killed_leaves_nothing(daemon, begin, large):
    box = Box(daemon, "--network", "none")
    try:
        copy = begin(large, f"{box.name}:/srv/large")
        copy.kill()
        copy.wait()
        # The agent's half of the connection is over by the time that the next copy is.
        daemon.msbctl("cp", large, f"{box.name}:/srv/other", timeout=120)
        assert box.sh("ls -A /srv").split() == ["other"]
    finally:
        box.remove()


def test_a_full_disk_ends_a_copy_early(daemon, large):
    box = Box(daemon, "--network", "none", "--disk", "64M")
    try:
        refused = daemon.msbctl("cp", large, f"{box.name}:/srv/large", check=False)
        assert refused.returncode != 0 and b"NO_SPACE" in refused.stderr
        assert box.sh("ls -A /srv") == ""
    finally:
        box.remove()


def test_a_copy_over_tcp_goes_through_the_daemon(new_daemon, large):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % probe.getsockname()[1]
    daemon = new_daemon()
    daemon.stop()
    daemon.config.write_text(
        daemon.config.read_text().replace('tcp_address = ""', f'tcp_address = "{address}"'))
    daemon.start()
    box = Box(daemon, "--network", "none")
    remote = ("--address", address, "--token-file", daemon.data / "token")
    tree = large.parent / "tree"
    tree.mkdir()
    (tree / "small").write_text("small")
    daemon.msbctl(*remote, "cp", large, f"{box.name}:/root/large", timeout=120)
    daemon.msbctl(*remote, "cp", tree, f"{box.name}:/root/tree")
    daemon.msbctl(*remote, "cp", f"{box.name}:/root/large", large.parent / "over_tcp", timeout=120)
    assert filecmp.cmp(large, large.parent / "over_tcp", shallow=False)
    assert box.sh("cat /root/tree/small") == "small"
    refused = daemon.msbctl(*remote, "cp", large, f"{box.name}:/no/such/place", check=False)
    assert refused.returncode != 0 and b"FILE_NOT_FOUND" in refused.stderr
    box.remove()
