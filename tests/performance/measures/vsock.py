# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import argparse
import subprocess
import sys
import time

from figures import GUEST, OUR_CPU, ROOT, VMM, bare_qemu, compare, initramfs, peer
from vsock_line import Line

sys.path.insert(0, str(ROOT / "tests/support/run_vmm"))
import run_vmm  # noqa: E402

MIB = 64
MEMORY_MIB = 256


def our_machine(directory, archive):
    machine = run_vmm.Machine(argparse.Namespace(
        vmm=VMM, kernel=GUEST / "vmlinux", initramfs=archive, directory=str(directory / "ours"),
        command_line="nokaslr", disk=[], vcpus=1, memory_mib=MEMORY_MIB, cid=3, boot_timeout_ms=0,
        engine="qemu", emulated_ring0=False, qemu=(GUEST / "qemu").resolve(), rng=False,
        balloon=False, net_mtu=0, mount=[]))
    return machine.process, directory / "ours/vsock.sock"


def beside(directory, archive, name, cpu):
    """The crate under QEMU without anything of ours, on a CPU of these features."""
    crate = peer("MSB_VHOST_DEVICE_VSOCK", "vhost-device-vsock", "cargo install vhost-device-vsock")
    vhost, unix = directory / f"{name}-vhost.sock", directory / f"{name}.sock"
    backend = subprocess.Popen([crate, "--guest-cid=3", f"--socket={vhost}", f"--uds-path={unix}"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while not vhost.exists():
        if backend.poll() is not None:
            raise RuntimeError(f"{crate} has ended with {backend.returncode}")
        time.sleep(0.01)
    machine = subprocess.Popen(
        bare_qemu(archive, memory_mib=MEMORY_MIB, machine=",memory-backend=ram", cpu=cpu, options=(
            "-object", f"memory-backend-memfd,id=ram,share=on,size={MEMORY_MIB}M",
            "-chardev", f"socket,id=vsock,path={vhost}",
            "-device", "vhost-user-vsock-device,chardev=vsock")),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [machine, backend], unix


def measure(daemon, directory, runs):
    """A stream of 64 MiB over vsock, each way, beside the crate vhost-device-vsock under bare QEMU.

    `ratio` is to QEMU as it comes (-cpu max), `same_cpu_ratio` to QEMU told what our engine tells it.
    """
    archive = initramfs(directory, "vsock_peer")
    stock, stock_path = beside(directory, archive, "stock", "max")
    tuned, tuned_path = beside(directory, archive, "tuned", OUR_CPU)
    ours, our_path = our_machine(directory, archive)
    try:
        lines = [Line(path) for path in (our_path, stock_path, tuned_path)]
        result = {}
        for name, way in (("into_the_guest", Line.into), ("out_of_the_guest", Line.out_of)):
            for line in lines:
                way(line, MIB)
            mine, stocks, tuneds = zip(*([way(line, MIB) for line in lines] for _ in range(runs)))
            result[name] = compare(mine, stocks, "MiB/s", "at least 1.2")
            result[name]["same_cpu_ratio"] = compare(mine, tuneds, "MiB/s", "")["ratio"]
        return result
    finally:
        for process in (ours, *stock, *tuned):
            process.terminate()
            process.wait()
