# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
from figures import await_boot_snapshot, bare_qemu, compare, initramfs, seconds

def measure(daemon, directory, runs):
    """msbctl run -- true, from nothing to nothing, beside a bare boot to init and off: a start from
    the boot snapshot that the first one has left behind (docs/boot-snapshots.md)."""
    bare = bare_qemu(initramfs(directory, "power_off_init"))
    ours = daemon.command("run", "--engine", "qemu", "--", "true")
    seconds(ours, env=daemon.environment)
    await_boot_snapshot(daemon)
    seconds(ours, env=daemon.environment)
    seconds(bare)
    pairs = [(seconds(ours, env=daemon.environment), seconds(bare)) for _ in range(runs)]
    return compare([a for a, _ in pairs], [b for _, b in pairs], "s", "at most 1.25")
