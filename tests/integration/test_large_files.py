# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""A sparse file with data beyond 2 and beyond 4 GiB: copied in and out, on a mount, in a layer."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from hand_made_images import HandMade
from layer_images import base_layer

from conftest import Box

BLOCK, PIECE = 4096, 64 << 10
SIZE = (4 << 30) + (1 << 20)
# Across the two borders, and at the ends.
OFFSETS = (0, (2 << 30) - BLOCK, (4 << 30) - BLOCK, SIZE - PIECE)


@pytest.fixture(scope="module")
def large():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="msb-large-", dir="/var/tmp"))
    with (folder / "large").open("wb") as file:
        file.truncate(SIZE)
        for offset in OFFSETS:
            file.seek(offset)
            file.write(os.urandom(PIECE))
    yield folder / "large"
    shutil.rmtree(folder)


def pieces_of(path):
    with path.open("rb") as file:
        return [hashlib.sha256(os.pread(file.fileno(), PIECE, offset)).hexdigest()
                for offset in OFFSETS]


def pieces_in(box, path):
    """Only these: to read all of it takes an emulated CPU a minute."""
    script = "".join(f"dd if={path} bs={BLOCK} skip={offset // BLOCK} count={PIECE // BLOCK} "
                     "2>/dev/null | sha256sum; " for offset in OFFSETS)
    return [line.split()[0] for line in box.sh(script).splitlines()]


def test_a_large_file_goes_in_and_comes_back_with_its_holes(daemon, large):
    back = large.parent / "back"
    box = Box(daemon, "--image", "busybox", "--disk", "8G", "--network", "none",
              "-v", f"{large.parent}:/host:ro")
    try:
        daemon.msbctl("cp", large, f"{box.name}:/root/large", timeout=900)
        size, blocks = map(int, box.sh("stat -c '%s %b' /root/large").split())
        assert size == SIZE and blocks * 512 < 32 << 20
        assert pieces_in(box, "/root/large") == pieces_of(large)
        assert pieces_in(box, "/host/large") == pieces_of(large)
        daemon.msbctl("cp", f"{box.name}:/root/large", back, timeout=900)
    finally:
        box.remove()
    assert back.stat().st_size == SIZE and back.stat().st_blocks * 512 < 32 << 20
    assert pieces_of(back) == pieces_of(large)
    back.unlink()


def test_a_large_file_lies_in_a_layer(daemon, large, tmp_path):
    tar = subprocess.run(["tar", "--sparse", "--format=posix", "-C", large.parent, "-c", "large"],
                         check=True, capture_output=True).stdout
    assert len(tar) < 1 << 20
    archive = HandMade([base_layer().bytes(), tar]).archive(tmp_path / "a.tar", "large:1")
    daemon.msbctl("image", "load", "-i", archive)
    box = Box(daemon, "--image", "large:1", "--network", "none")
    try:
        assert box.sh("stat -c %s /large") == f"{SIZE}\n"
        assert pieces_in(box, "/large") == pieces_of(large)
    finally:
        box.remove()
        daemon.msbctl("image", "rm", "large:1")
