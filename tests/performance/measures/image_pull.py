# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import time

from figures import PeerMissing, compare, seconds
from image_job import Pull
from registry import Registry, make_image, missing_programs

LAYERS, LAYER_BYTES = 4, 48 << 20


def push_image(registry, directory):
    trees = []
    for number in range(LAYERS):
        tree = directory / f"tree-{number}"
        tree.mkdir()
        (tree / f"file-{number}").write_bytes(os.urandom(LAYER_BYTES))
        trees.append(tree)
    registry.push(make_image(directory / "layout", trees), "team/large", "1")


def pull_seconds(registry, directory):
    """From the start of msb-image to its last event."""
    start = time.monotonic()
    pull = Pull(directory, registry, "team/large", "1")
    pull.finish()
    elapsed = time.monotonic() - start
    assert len(pull.blobs()) == LAYERS + 1
    return elapsed


def measure(_daemon, directory, runs):
    """Pull of 192 MiB in four layers from docker-registry over TLS, beside skopeo copy of the same.

    msb-image checks the certificate and hashes each blob as it comes; skopeo is told not to check.
    """
    if missing_programs():
        raise PeerMissing(f"needs {', '.join(missing_programs())}")
    ours, theirs = [], []
    with Registry(directory / "registry", tls=True) as registry:
        push_image(registry, directory)
        for _ in range(runs):
            ours.append(pull_seconds(registry, directory / "ours"))
            theirs.append(seconds(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false",
                                   f"docker://{registry.host}/team/large:1",
                                   f"dir:{directory}/theirs"]))
            shutil.rmtree(directory / "ours")
            shutil.rmtree(directory / "theirs")
    return compare(ours, theirs, "s", "at most as long as skopeo")
