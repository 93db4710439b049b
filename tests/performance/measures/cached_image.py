# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import subprocess

from figures import await_boot_snapshot, compare, seconds
from hand_made_images import HandMade
from layer_images import Layer

SMALL_LAYERS = 4


def files_of_the_default_image(daemon):
    """As a tar, so that both images do the same work: the same `true` with the same libraries."""
    command = daemon.command("run", "--engine", "qemu", "--", "tar", "--one-file-system", "-C", "/",
                             "-cf", "-", ".")
    return subprocess.run(command, env=daemon.environment, stdin=subprocess.DEVNULL, check=True,
                          stdout=subprocess.PIPE).stdout


def archive_of_layers(daemon, directory):
    """An archive of an image of five layers, the lowest with all files of the default image."""
    layers = [files_of_the_default_image(daemon)]
    for i in range(SMALL_LAYERS):
        layers.append(Layer().directory("usr/share").add(f"usr/share/layer{i}", b"x" * 65536).bytes())
    return HandMade(layers, packing="").archive(directory / "image.tar", "measured:1")


def measure(daemon, directory, runs):
    """msbctl run of a cached image of five layers, beside the default image, engine qemu."""
    daemon.msbctl("image", "load", "-i", archive_of_layers(daemon, directory))
    cached = daemon.command("run", "--engine", "qemu", "--image", "measured:1", "--", "true")
    default = daemon.command("run", "--engine", "qemu", "--", "true")
    for command in (cached, default):
        seconds(command, env=daemon.environment)
    await_boot_snapshot(daemon)
    pairs = [(seconds(cached, env=daemon.environment), seconds(default, env=daemon.environment))
             for _ in range(runs)]
    return compare([a for a, _ in pairs], [b for _, b in pairs], "s", "at most 1.1")
