# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import argparse
import re
import shutil
import subprocess
import sys
import time

from figures import BUILD, GUEST, OUR_CPU, ROOT, VMM, bare_qemu, compare, initramfs, peer

sys.path.insert(0, str(ROOT / "tests/support/run_vmm"))
import run_vmm  # noqa: E402

MEMORY_MIB = 256
TIMEOUT = 180  # seconds for one guest


def figures_of(console):
    text = console.read_text(errors="replace")
    if "error" in text or "done" not in text:
        raise RuntimeError(f"the guest says: {text[-500:]}")
    return {name: float(value) for name, value in re.findall(r"figure (\w+) ([\d.]+)", text)}


def ours(directory, archive):
    shared = directory / "shared"
    shared.mkdir()
    machine = run_vmm.Machine(argparse.Namespace(
        vmm=VMM, kernel=GUEST / "vmlinux", initramfs=archive, directory=str(directory),
        command_line="nokaslr", disk=[], vcpus=1, memory_mib=MEMORY_MIB, cid=3, boot_timeout_ms=0,
        engine="qemu", emulated_ring0=False, qemu=(GUEST / "qemu").resolve(), rng=False,
        balloon=False, mount=[str(shared)], fs=str(BUILD / "file-server/msb-fs")))
    machine.process.wait(TIMEOUT)
    return figures_of(directory / "console.log")


def beside(directory, archive):
    """The crate under QEMU without anything of ours, its CPU as our engine's."""
    crate = peer("MSB_VIRTIOFSD", "virtiofsd", "cargo install virtiofsd")
    shared, socket = directory / "shared", directory / "fs.sock"
    shared.mkdir(parents=True)
    backend = subprocess.Popen(
        [crate, f"--shared-dir={shared}", f"--socket-path={socket}", "--sandbox=none"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not socket.exists():
        if backend.poll() is not None:
            raise RuntimeError(f"{crate} has ended with {backend.returncode}")
        time.sleep(0.01)
    console = directory / "console.log"
    command = bare_qemu(archive, memory_mib=MEMORY_MIB, machine=",memory-backend=ram", cpu=OUR_CPU,
                        options=("-object",
                                 f"memory-backend-memfd,id=ram,share=on,size={MEMORY_MIB}M",
                                 "-chardev", f"socket,id=fs,path={socket}", "-device",
                                 "vhost-user-fs-device,queue-size=512,tag=fs0,chardev=fs"))
    command[command.index("-serial") + 1] = f"file:{console}"
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=TIMEOUT)
        return figures_of(console)
    finally:
        backend.terminate()
        backend.wait()


def measure(daemon, directory, runs):
    """Throughput and metadata rates of a mount beside the crate virtiofsd under bare QEMU."""
    archive = initramfs(directory, "mount_peer")
    mine, others = [], []
    for run in range(runs):
        for place, results, side in (("ours", mine, ours), ("beside", others, beside)):
            folder = directory / f"{place}-{run}"
            folder.mkdir()
            results.append(side(folder, archive))
            shutil.rmtree(folder)
    return {name: compare([run[name] for run in mine], [run[name] for run in others],
                          "MiB/s" if name.endswith("mib_s") else "1/s", "at least 1")
            for name in mine[0]}
