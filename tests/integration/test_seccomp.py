# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Every thread of a live VMM or msb-fs is confined: made to do what it may not, it ends its process."""
import ctypes
import json
import os
import pathlib
import time

import pytest

from conftest import ENGINES, Box

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long
PEEKTEXT, GETREGS, SETREGS, ATTACH, DETACH = 1, 12, 13, 16, 17
WALL = 0x40000000
SYSCALL_INSTRUCTION = b"\x0f\x05"
SYS_SOCKET, SYS_EXECVE, SYS_UNSHARE, SYS_USERFAULTFD, SYS_IO_URING_SETUP = 41, 59, 272, 323, 425
QEMU = "ld-linux-x86-64"  # the loader of QEMU's folder executes it
# (engine, name of the thread): the kinds of thread that have a policy of their own.
KINDS = [(engine, thread) for engine in ENGINES for thread in
         {"kvm": ("msb-vmm", "vcpu0", "msb-disk"),
          "qemu": ("msb-vmm", "msb-disk", QEMU)}[engine]]


class Registers(ctypes.Structure):
    """user_regs_struct of x86-64."""
    _fields_ = [(name, ctypes.c_ulonglong) for name in (
        "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
        "fs_base gs_base ds es fs gs").split()]


def ptrace(request, tid, address=None, data=None):
    ctypes.set_errno(0)
    result = LIBC.ptrace(request, tid, address, data)
    if ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace({request})")
    return result


def make_call(tid, number):
    """The thread, which waits in the kernel, leaves it and makes the system call instead."""
    for _ in range(100):
        ptrace(ATTACH, tid)
        os.waitpid(tid, WALL)
        registers = Registers()
        ptrace(GETREGS, tid, None, ctypes.addressof(registers))
        before = ptrace(PEEKTEXT, tid, registers.rip - 2) & 0xffff
        if before.to_bytes(2, "little") == SYSCALL_INSTRUCTION:
            registers.rip -= 2
            registers.rax = number
            registers.orig_rax = (1 << 64) - 1  # nothing to restart
            registers.rdi = registers.rsi = registers.rdx = 0
            ptrace(SETREGS, tid, None, ctypes.addressof(registers))
            ptrace(DETACH, tid)
            return
        ptrace(DETACH, tid)  # it was busy with something of its own
        time.sleep(0.01)
    raise AssertionError("the thread never waits")


def read(path):
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""


def threads(cgroup):
    """(name, directory in /proc) of each thread of the VMM, and of QEMU beside it; of a companion."""
    return [(read(task / "comm").strip(), task)
            for process in pathlib.Path("/proc").iterdir() if process.name.isdigit()
            and f"/{cgroup}\n" in read(process / "cgroup") for task in (process / "task").iterdir()]


def check_filters(found):
    for name, task in found:
        status = read(task / "status")
        assert "Seccomp:\t2\n" in status and "NoNewPrivs:\t1\n" in status, name


def test_every_thread_has_a_filter(box):
    found = threads(box.daemon.inspect(box.name)["id"])
    assert {name for name, _ in found} >= {name for engine, name in KINDS if engine == box.engine}
    check_filters(found)


@pytest.fixture
def mounted(daemon, tmp_path):
    """A box with a mount. Engine qemu: the file server is one program for both."""
    box = Box(daemon, "--engine", "qemu", "--image", "busybox", "--network", "none",
              "-v", f"{tmp_path}:/src")
    yield box
    box.remove()


@pytest.mark.parametrize("number", [SYS_SOCKET, SYS_EXECVE, SYS_UNSHARE, SYS_USERFAULTFD,
                                    SYS_IO_URING_SETUP])
def test_a_forbidden_call_ends_the_file_server_alone(daemon, mounted, number):
    mounted.sh("echo text > /src/file && cat /src/file")
    found = threads(f"{daemon.inspect(mounted.name)['id']}+fs")
    assert len(found) == 4  # [mounts] threads
    check_filters(found)
    make_call(int(found[-1][1].name), number)
    deadline = time.monotonic() + 30
    while (companion := daemon.inspect(mounted.name)["companions"][0])["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert companion["reason"] == "COMPANION_DIED" and "filter" in companion["detail"]
    assert daemon.state(mounted.name) == "running"
    assert b"not connected" in mounted.exec("ls", "/src", check=False).stderr


@pytest.mark.parametrize("number", [SYS_SOCKET, SYS_EXECVE])
@pytest.mark.parametrize("engine, thread", KINDS)
def test_a_forbidden_call_ends_the_machine(daemon, engine, thread, number):
    name = f"seccomp-{engine}-{thread}-{number}"
    # Of a shape that no other has: one that goes on from a boot snapshot would be booted instead.
    memory = 300 + 50 * KINDS.index((engine, thread)) + number % 50
    creating = daemon.popen("create", "--engine", engine, "--name", name, "--memory", memory)
    try:
        make_call(wait_for_thread(daemon, name, thread), number)
        _, errors = creating.communicate(timeout=60)
        if creating.returncode == 0:  # the guest was up already
            deadline = time.monotonic() + 60
            while daemon.state(name) != "failed":
                assert time.monotonic() < deadline
                time.sleep(0.05)
        end = daemon.inspect(name)
        assert end["state"] == "failed"
        assert end["reason"] == ("QEMU_ERROR" if thread == QEMU else "VMM_DIED")
        assert "filter" in end["reason_detail"], errors
    finally:
        creating.kill()
        creating.wait()
        daemon.msbctl("rm", "-f", name, check=False)


def told_of_machine(told):
    stages = {stage["name"] for stage in told["start_stages"]}
    return bool({"machine_ready", "machine_restored"} & stages)


def wait_for_thread(daemon, name, thread):
    """Until it is confined, and the daemon would hear of its end: before, it is on its way there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shown = daemon.msbctl("inspect", name, check=False)
        told = json.loads(shown.stdout) if shown.returncode == 0 else {"start_stages": []}
        if told_of_machine(told):
            for found, task in threads(told["id"]):
                if found == thread and "Seccomp:\t2\n" in read(task / "status"):
                    return int(task.name)
        time.sleep(0.02)
    raise AssertionError(f"no thread {thread}")
