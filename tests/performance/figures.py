# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""What the measures share: figures, and the guests and machines that they put beside ours."""
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))
from conftest import BUILD, GUEST  # noqa: E402

TOOLS = BUILD / "tests/performance"
VMM = BUILD / "vmm/msb-vmm"


class PeerMissing(Exception):
    """The peer is not on this machine; says where it comes from."""


def peer(variable, program, source):
    """The program of a peer: $variable, or on the PATH."""
    candidates = [os.environ[variable]] if variable in os.environ else [
        f"{directory}/{program}" for directory in os.environ["PATH"].split(":")]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    raise PeerMissing(f"no {program} on the PATH or in ${variable}; it comes from {source}")


def summary(samples, unit):
    ordered = sorted(samples)
    return {"median": round(statistics.median(ordered), 4), "min": round(ordered[0], 4),
            "max": round(ordered[-1], 4), "runs": len(ordered), "unit": unit}


def compare(ours, beside, unit, promise):
    """Pairs were measured in turn, so that a drift of the host's speed moves both."""
    ratio = statistics.median(ours) / statistics.median(beside)
    return {"ours": summary(ours, unit), "beside": summary(beside, unit),
            "ratio": round(ratio, 3), "promise": promise}


def seconds(command, **options):
    start = time.monotonic()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, **options)
    return time.monotonic() - start


def initramfs(directory, program):
    """A cpio archive with one of our guest programs as its init."""
    root = directory / f"root-{program}"
    root.mkdir()
    init = root / "init"
    init.write_bytes((TOOLS / program).read_bytes())
    init.chmod(0o755)
    archive = directory / f"{program}.cpio"
    with archive.open("wb") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=b"init\n", stdout=out, cwd=root,
                       check=True)
    return archive


def await_boot_snapshot(daemon, name="qemu-1-512", limit=60):
    """Until starts of machines of that shape go on from one."""
    deadline = time.monotonic() + limit
    while name not in daemon.msbctl("doctor", check=False).stdout.decode():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no boot snapshot {name} within {limit} s")
        time.sleep(0.1)


# What our engine tells QEMU (vmm/qemu/command_line.cc), for measures that are not about it.
OUR_CPU = "max,erms=off,fsrm=off,smap=off,pku=off,mpx=off,pcid=off"


def built_qemu():
    """deploy/qemu's."""
    qemu = GUEST / "qemu"
    return [qemu / "lib/ld-linux-x86-64.so.2", "--library-path", qemu / "lib",
            qemu / "bin/qemu-system-x86_64", "-L", qemu / "share"]


def installed_qemu():
    """The distribution's."""
    return ["qemu-system-x86_64"]


def bare_qemu(archive, *, qemu=None, memory_mib=512, options=(), machine="", cpu="max"):
    """The command line of QEMU microvm with the guest's kernel and nothing of ours."""
    return [*(qemu or built_qemu()), "-M", f"microvm,acpi=off,x-option-roms=off{machine}", "-global",
            "virtio-mmio.force-legacy=false", "-accel", "tcg", "-cpu", cpu, "-m", str(memory_mib),
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "null", "-no-reboot",
            "-kernel", GUEST / "vmlinux", "-initrd", archive,
            "-append", "console=ttyS0 quiet reboot=t panic=-1 nokaslr", *options]
