# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Images of several layers: what msb-image makes of tars, stacked by the guest."""
import subprocess
import tarfile

import pytest

from conftest import ENGINES, Box
from layer_images import BUSYBOX, ImageFolder, Layer, base_layer

# VFS_CAP_REVISION_2, cap_net_raw+ep.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


def middle_layer():
    layer = Layer().add("etc/.wh.gone").add("etc/changed", b"new", mode=0o600, uid=1000, gid=1000)
    layer.directory("opt", 0o700).add("opt/.wh..wh..opq").add("opt/new", b"shown")
    layer.add("home/.wh.tree")
    layer.add("bin/ping", b"#!/bin/sh\n", mode=0o755,
              pax_headers={"SCHILY.xattr.security.capability":
                           CAPABILITY.decode("utf-8", "surrogateescape"),
                           "SCHILY.xattr.user.note": "kept"})
    layer.add("home/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    layer.add("home/pipe", type=tarfile.FIFOTYPE, mode=0o620)
    layer.add("home/far", type=tarfile.SYMTYPE, linkname="/etc/" + 40 * "../etc/" + "changed")
    layer.add("home/" + 200 * "n", b"long name", mtime=1_700_000_000.25)
    return layer


def top_layer():
    layer = Layer().directory("home/tree").add("home/tree/again", b"from the top")
    layer.add("etc/.wh.nothing-below")
    return layer


@pytest.fixture(scope="module")
def images():
    folder = ImageFolder()
    yield folder
    folder.remove()


@pytest.fixture(scope="module")
def layered_daemon(images, new_daemon):
    images.add("three", [base_layer(), middle_layer(), top_layer()])
    return new_daemon(assets=images.path)


@pytest.fixture(scope="module", params=ENGINES)
def layered(request, layered_daemon):
    made = Box(layered_daemon, "--engine", request.param, "--image", "three", "--memory", "256")
    yield made
    made.remove()


def test_upper_layers_hide_and_replace_what_is_below(layered):
    assert layered.sh("cat /etc/changed; stat -c ' %a %u %g' /etc/changed") == "new 600 1000 1000\n"
    assert layered.sh("test -e /etc/gone || echo gone") == "gone\n"
    # Whiteouts are no files of the image.
    names = layered.sh("ls -A /etc").split()
    assert not [name for name in names if ".wh." in name or name in ("gone", "nothing-below")]
    assert layered.sh("ls -A /opt; stat -c %a /opt") == "new\n700\n"
    assert layered.sh("ls -A /home/tree; cat /home/tree/again") == "again\nfrom the top"


def test_entries_keep_their_attributes(layered):
    assert layered.sh("stat -c '%a %F %t %T' /home/null") == "666 character special file 1 3\n"
    assert layered.sh("echo x > /home/null && wc -c < /home/null") == "0\n"
    assert layered.sh("stat -c '%a %F' /home/pipe") == "620 fifo\n"
    assert layered.sh("cat /home/far") == "new"
    long_name = "/home/" + 200 * "n"
    assert layered.sh(f"cat {long_name}; stat -c ' %y' {long_name}").startswith(
        "long name 2023-11-14 22:13:20.25")
    assert layered.sh("stat -c %Y /bin/busybox") == "1700000000\n"


def test_hard_links_are_one_file(layered):
    assert layered.sh("stat -c %h /home/linked; cat /home/other") == "2\none file"
    inodes = set(layered.sh("stat -c %i /bin/busybox /bin/sh /bin/ls").split())
    assert len(inodes) == 1


def test_a_file_capability_comes_through(layered, tmp_path):
    """Seen by a copy of the attribute's reader: busybox has none."""
    reader = tmp_path / "xattr.c"
    reader.write_text("""
        #include <stdio.h>
        #include <sys/xattr.h>
        int main(int argc, char** argv) {
          unsigned char value[64];
          long got = lgetxattr(argv[1], argv[2], value, sizeof(value));
          for (long i = 0; i < got; ++i) printf("%02x", value[i]);
          return got < 0;
        }""")
    subprocess.run(["gcc", "-static", "-o", tmp_path / "xattr", reader], check=True)
    layered.daemon.msbctl("cp", tmp_path / "xattr", f"{layered.name}:/home/")
    value = layered.output("/home/xattr", "/bin/ping", "security.capability")
    assert bytes.fromhex(value) == CAPABILITY
    value = layered.output("/home/xattr", "/bin/ping", "user.note")
    assert bytes.fromhex(value) == b"kept"


def test_the_image_can_be_written_over_and_is_the_same_in_the_next_sandbox(layered):
    layered.sh("rm -r /opt /home/tree && echo mine > /etc/changed && mkdir /opt")
    assert layered.sh("ls -A /opt; cat /etc/changed") == "mine\n"
    other = Box(layered.daemon, "--image", "three", "--memory", "256")
    try:
        assert other.sh("cat /etc/changed; ls /opt") == "newnew\n"
    finally:
        other.remove()


def test_a_hundred_and_twenty_seven_layers(images, layered_daemon):
    layers = [base_layer()]
    for number in range(2, 128):
        layers.append(Layer().directory("layers").add(f"layers/{number}", str(number).encode())
                      .add("top", str(number).encode()))
    box = Box(layered_daemon, "--engine", "qemu", "--image", images.add("many", layers),
              "--memory", "256")
    try:
        assert box.sh("cat /top; ls /layers | wc -l; cat /layers/2 /layers/64 /layers/127") == (
            "127126\n264127")
    finally:
        box.remove()


def test_an_opaque_root_hides_all_layers_below(images, layered_daemon):
    below = Layer().add("below", b"x").directory("bin").add("bin/secret", b"x")
    box = Box(layered_daemon, "--engine", "qemu", "--image",
              images.add("opaque", [below, base_layer().add(".wh..wh..opq")]), "--memory", "256")
    try:
        assert box.sh("ls /below /bin/secret 2>/dev/null; echo $?") == "1\n"
    finally:
        box.remove()


def test_an_image_without_any_folder_starts(images, layered_daemon):
    """Like one of a single static program."""
    layer = Layer().add("busybox", BUSYBOX.read_bytes(), mode=0o755)
    box = Box(layered_daemon, "--engine", "qemu", "--image", images.add("bare", [layer]),
              "--memory", "256")
    try:
        assert box.output("/busybox", "echo", "hello") == "hello\n"
    finally:
        box.remove()
