# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Images of layers that are made by hand, beside those of build/guest."""
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from conftest import BUILD, GUEST

BUSYBOX = pathlib.Path("/bin/busybox")


class Layer:
    """A tar, entry by entry, as a hand would write one."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, content=b"", **fields):
        info = tarfile.TarInfo(name)
        info.mode = 0o644
        info.mtime = 1_700_000_000
        for field, value in fields.items():
            setattr(info, field, value)
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content))
        return self

    def directory(self, name, mode=0o755, **fields):
        return self.add(name, type=tarfile.DIRTYPE, mode=mode, **fields)

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def base_layer():
    layer = Layer().directory("bin").directory("etc").directory("opt").directory("home")
    layer.add("bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            layer.add(f"bin/{applet}", type=tarfile.LNKTYPE, linkname="bin/busybox")
    layer.add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    layer.add("etc/group", b"root:x:0:\napp:x:1000:\n")
    layer.add("etc/gone", b"below").add("etc/changed", b"old")
    layer.directory("opt/old").add("opt/old/file", b"hidden")
    layer.directory("home/tree").add("home/tree/file", b"hidden too")
    layer.add("home/linked", b"one file").add("home/other", type=tarfile.LNKTYPE,
                                              linkname="home/linked")
    return layer


class ImageFolder:
    """A folder like build/guest, to which images are added."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="msb-layers-", dir="/var/tmp"))
        self.path.chmod(0o755)
        images = self.path / "images"
        images.mkdir()
        for name in os.listdir(GUEST):
            if name != "images":
                (self.path / name).symlink_to((GUEST / name).resolve())
        for name in os.listdir(GUEST / "images"):
            (images / name).symlink_to((GUEST / "images" / name).resolve())

    def add(self, name, layers, **config):
        """An image of these layers, the lowest first."""
        image = self.path / "images" / name
        image.mkdir()
        files = []
        for number, layer in enumerate(layers):
            tar = self.path / "layer.tar"
            tar.write_bytes(layer.bytes())
            files.append(f"{number}.erofs")
            subprocess.run([BUILD / "image/test_support/build-layer", tar, image / files[-1]],
                           check=True, stdout=subprocess.DEVNULL)
        (image / "image.json").write_text(json.dumps(
            {"env": {"PATH": "/bin"}, "cmd": ["/bin/sh"], "layers": files, **config}))
        return name

    def remove(self):
        shutil.rmtree(self.path)
