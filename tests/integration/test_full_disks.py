# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""A file system of the host that is full: below a mount, and below the disks of all sandboxes."""
import contextlib
import pathlib
import subprocess
import tempfile

import pytest

from conftest import Box

FILL = "dd if=/dev/urandom of=/m/fill bs=64k count=1024 conv=fsync"
# In small pieces: with much in its page cache that cannot be written, a guest's kernel lets a writer
# wait until somebody kills it.
FILL_IN_PIECES = """for i in $(seq 256); do
  dd if=/dev/urandom of=/root/fill$i bs=64k count=16 conv=fsync || exit 1
done"""


@contextlib.contextmanager
def small_file_system(path, mib):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def small_mount():
    with tempfile.TemporaryDirectory(prefix="msb-full-", dir="/var/tmp") as folder:
        with small_file_system(pathlib.Path(folder), 4) as path:
            yield path


def test_a_full_file_system_of_a_mount_is_full_for_the_guest_and_no_more(daemon, small_mount):
    (small_mount / "before").write_text("stays\n")
    box = Box(daemon, "--image", "busybox", "--network", "none", "-v", f"{small_mount}:/m")
    try:
        full = box.exec("sh", "-c", FILL, check=False)
        assert full.returncode != 0 and b"No space left on device" in full.stderr, full.stderr
        assert (small_mount / "fill").stat().st_size > 3 << 20, "what fitted was written"
        refused = daemon.msbctl("cp", pathlib.Path(__file__), f"{box.name}:/m/copied", check=False)
        assert b"[NO_SPACE]" in refused.stderr, refused.stderr

        assert box.sh("cat /m/before") == "stays\n"
        assert box.sh("rm /m/fill && echo fine > /m/after && cat /m/after") == "fine\n"
        assert (small_mount / "after").read_text() == "fine\n"
        companions = daemon.inspect(box.name)["companions"]
        assert all(one["state"] == "running" for one in companions), companions
    finally:
        box.remove()


@pytest.fixture
def crowded(new_daemon):
    """A daemon whose sandboxes' disks have 96 MiB together. A boot snapshot in the making would give
    its room back in the middle of a test."""
    daemon = new_daemon("[boot_snapshots]\nmax_count = 0\n")
    daemon.stop()
    with small_file_system(daemon.data / "state", 96):
        daemon.start()
        yield daemon
        for name in daemon.names():
            daemon.msbctl("rm", "-f", name)
        daemon.stop()
    daemon.start()


def test_a_full_data_directory_is_an_error_of_who_writes_and_of_nobody_else(crowded):
    other = Box(crowded, "--image", "busybox", "--network", "none")
    other.sh("echo mine > /root/file && sync")
    greedy = Box(crowded, "--image", "busybox", "--network", "none")

    full = greedy.exec("sh", "-c", FILL_IN_PIECES, check=False)

    assert full.returncode != 0, full
    # Of its write, or of a file system that has closed itself behind a failed one.
    assert b"Input/output error" in full.stderr or b"Read-only" in full.stderr, full.stderr
    # Why, for the operator.
    assert b"I/O error" in crowded.msbctl("logs", greedy.name).stdout
    identity = crowded.inspect(greedy.name)["id"]
    assert any("No space left" in log.read_text(errors="replace")
               for log in crowded.base.rglob(f"{identity}/vmm.log"))
    doctor = crowded.msbctl("doctor", check=False).stdout.decode()
    assert "a full disk stops every sandbox" in doctor, doctor
    # The daemon and the other go on.
    assert set(crowded.names()) == {other.name, greedy.name}
    assert other.sh("cat /root/file; echo in memory > /run/file; cat /run/file") == "mine\nin memory\n"
    refused = crowded.msbctl("create", "--image", "busybox", check=False)
    assert refused.returncode == 1 and b"No space left" in refused.stderr, refused.stderr

    # And all is as it was when there is room again.
    greedy.remove()
    crowded.msbctl("restart", other.name)
    assert other.sh("cat /root/file; echo more >> /root/file; sync; cat /root/file") == \
        "mine\nmine\nmore\n"
    again = Box(crowded, "--image", "busybox", "--network", "none")
    assert again.sh("echo fine > /root/file && sync && cat /root/file") == "fine\n"
