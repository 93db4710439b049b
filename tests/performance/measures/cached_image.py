# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import pathlib
import shutil

from figures import PeerMissing, compare, seconds
from registry import make_image, missing_programs, run

LAYERS = 5


def archive_of_layers(directory):
    """An archive of an image of five layers, the lowest with busybox."""
    trees = []
    for i in range(LAYERS):
        tree = directory / f"layer{i}"
        (tree / "usr/share").mkdir(parents=True)
        (tree / f"usr/share/layer{i}").write_bytes(b"x" * 65536)
        trees.append(tree)
    for folder in ("bin", "proc", "sys", "dev", "tmp", "root", "etc"):
        (trees[0] / folder).mkdir()
    (trees[0] / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    shutil.copy(pathlib.Path("/bin/busybox"), trees[0] / "bin/busybox")
    (trees[0] / "bin/true").symlink_to("busybox")
    source = make_image(directory / "layout", trees)
    run("skopeo", "copy", "--insecure-policy", source,
        f"docker-archive:{directory / 'image.tar'}:measured:1")
    return directory / "image.tar"


def measure(daemon, directory, runs):
    """msbctl run of a cached image of five layers, beside the default image, engine qemu."""
    if missing_programs():
        raise PeerMissing(f"needs {', '.join(missing_programs())} to make the image")
    daemon.msbctl("image", "load", "-i", archive_of_layers(directory))
    cached = daemon.command("run", "--engine", "qemu", "--image", "measured:1", "--", "true")
    default = daemon.command("run", "--engine", "qemu", "--", "true")
    for command in (cached, default):
        seconds(command, env=daemon.environment)
    pairs = [(seconds(cached, env=daemon.environment), seconds(default, env=daemon.environment))
             for _ in range(runs)]
    return compare([a for a, _ in pairs], [b for _, b in pairs], "s", "at most 1.1")
