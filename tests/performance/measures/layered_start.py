# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
from figures import compare, seconds
from conftest import Daemon
from layer_images import ImageFolder, Layer, base_layer


def image_of(count):
    """A busybox below, and small layers that share a folder with it."""
    layers = [base_layer()]
    for number in range(1, count):
        layers.append(Layer().directory("opt").add(f"opt/{number}", b"layer"))
    return layers


def measure(_, directory, runs):
    """msbctl run -- true from an image of 1, 10 and 60 layers, beside one of the default image."""
    folder = ImageFolder()
    daemon = None
    try:
        names = {count: folder.add(f"of-{count}", image_of(count)) for count in (1, 10, 60)}
        daemon = Daemon(assets=folder.path)

        def start(image):
            return seconds(daemon.command("run", "--engine", "qemu", "--image", image, "--", "true"),
                           env=daemon.environment)

        for image in ("default", *names.values()):
            start(image)
        samples = [{image: start(image) for image in ("default", *names.values())}
                   for _ in range(runs)]
        default = [sample["default"] for sample in samples]
        return {f"{count} layers": compare([sample[name] for sample in samples], default, "s",
                                           "at most 1.1" if count == 1 else "none")
                for count, name in names.items()}
    finally:
        if daemon is not None:
            daemon.close()
        folder.remove()
