# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
from figures import (await_boot_snapshot, bare_qemu, built_qemu, compare, initramfs, installed_qemu,
                     seconds)


def measure(daemon, directory, runs):
    """msbctl run -- true, from nothing to nothing, beside a bare boot to init and off: a start from
    the boot snapshot that the first one has left behind (docs/boot-snapshots.md)."""
    archive = initramfs(directory, "power_off_init")
    bare = bare_qemu(archive, qemu=installed_qemu())
    lean = bare_qemu(archive, qemu=built_qemu())
    ours = daemon.command("run", "--engine", "qemu", "--", "true")
    seconds(ours, env=daemon.environment)
    await_boot_snapshot(daemon)
    for command in (ours, bare, lean):
        seconds(command, env=daemon.environment)
    turns = [[seconds(command, env=daemon.environment) for command in (ours, bare, lean)]
             for _ in range(runs)]
    own, installed, built = zip(*turns)
    return {"beside_the_installed_qemu": compare(own, installed, "s", "at most 1.25"),
            "beside_our_build_of_qemu": compare(own, built, "s", "none: it is ours")}
