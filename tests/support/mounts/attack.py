# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""What root of a guest tries on its mounts: run in the guest by tests/integration/test_mount_attacks.py.

Writes a line for each attack: "held NAME", or "BROKEN NAME: what". /rw and /ro are the mounts; SECRET is
what no attack may ever read, OUTSIDE the path on the host of the directory that holds it, beside /rw's.
"""
import contextlib
import ctypes
import errno
import multiprocessing
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time

SECRET, OUTSIDE = sys.argv[1], sys.argv[2]
SECONDS = 4  # of a race
ATTACKS = []


def attack(function):
    ATTACKS.append(function)
    return function


class Broken(Exception):
    pass


def check(held, what):
    if not held:
        raise Broken(what)


def refused(call, *errors):
    """`call` fails, with one of the errors when they are named."""
    try:
        result = call()
    except OSError as error:
        check(not errors or error.errno in errors, f"{errno.errorcode[error.errno]} ({error})")
        return
    raise Broken(f"succeeded: {result!r}")


def contents(path):
    try:
        with open(path, encoding="utf8", errors="replace") as file:
            return file.read(4096)
    except OSError:
        return ""


def race(loser, winner):
    """Runs `loser` in a process of its own again and again while `winner` looks for SECRET."""
    def again():
        while True:
            with contextlib.suppress(OSError):
                loser()

    process = multiprocessing.Process(target=again, daemon=True)
    process.start()
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            check(SECRET not in (winner() or ""), "read what lies outside")
    finally:
        process.kill()
        process.join()


@attack
def dot_dot():
    for path in ("/rw/..", "/rw/a/../..", "/rw/./../outside/secret", "/rw/../../../../" + OUTSIDE):
        check(SECRET not in contents(path), path)
    os.makedirs("/rw/deep/er", exist_ok=True)
    os.chdir("/rw/deep/er")
    os.rename("/rw/deep/er", "/rw/moved")
    check(SECRET not in contents("../../outside/secret") + contents("../outside/secret"), "moved cwd")
    os.chdir("/")


@attack
def symbolic_links():
    for i, target in enumerate(("../outside", OUTSIDE, "/proc/self/root" + OUTSIDE,
                                "../../../../../../" + OUTSIDE, "/proc/1/cwd",
                                "/proc/self/fd/8/../outside")):
        os.symlink(target, f"/rw/link{i}")
        check(os.readlink(f"/rw/link{i}") == target, "a link is what it was made")
        check(SECRET not in contents(f"/rw/link{i}/secret"), target)
        refused(lambda name=f"/rw/link{i}": os.open(name, os.O_RDONLY | os.O_NOFOLLOW), errno.ELOOP)


@attack
def swap_of_a_directory_and_a_link():
    os.makedirs("/rw/swap", exist_ok=True)
    with open("/rw/swap/secret", "w", encoding="utf8") as file:
        file.write("harmless")
    os.symlink("../outside", "/rw/other")

    def swap():
        os.rename("/rw/swap", "/rw/third")
        os.rename("/rw/other", "/rw/swap")
        os.rename("/rw/third", "/rw/other")

    race(swap, lambda: contents("/rw/swap/secret") + contents("/rw/other/secret"))


@attack
def swap_by_the_host():
    """The test swaps /rw/host-swap between a directory and a link to OUTSIDE meanwhile."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        check(SECRET not in contents("/rw/host-swap/secret"), "read")
        with contextlib.suppress(OSError):
            with open("/rw/host-swap/planted", "w", encoding="utf8"):
                pass
        with contextlib.suppress(OSError):
            os.mkdir(f"/rw/host-swap/planted-{random.random()}")
        with contextlib.suppress(OSError):
            os.chmod("/rw/host-swap/secret", 0o777)
        with contextlib.suppress(OSError):
            os.truncate("/rw/host-swap/secret", 0)


@attack
def hard_links_out():
    os.symlink(OUTSIDE + "/secret", "/rw/to-secret")
    for follow in (True, False):
        with contextlib.suppress(OSError):
            os.link("/rw/to-secret", f"/rw/hard-{follow}", follow_symlinks=follow)
        check(SECRET not in contents(f"/rw/hard-{follow}"), "linked")
    refused(lambda: os.link("/ro/file", "/rw/from-ro"), errno.EXDEV)
    refused(lambda: os.link("/rw/file", "/ro/to-ro"), errno.EXDEV, errno.EROFS)
    refused(lambda: os.link("/rw/file", "/outside"), errno.EXDEV)


@attack
def renames_out():
    os.makedirs("/rw/a/b", exist_ok=True)
    refused(lambda: os.rename("/rw/a", "/a"), errno.EXDEV)
    refused(lambda: os.rename("/rw/a", "/ro/a"), errno.EXDEV, errno.EROFS)
    refused(lambda: os.rename("/rw/a", "/rw/a/b/a"), errno.EINVAL)
    for name in (b"..", b".", b"../x", b"a/../../x"):
        with contextlib.suppress(OSError):
            os.rename(b"/rw/a/b", b"/rw/a/" + name)
    check(SECRET not in contents("/rw/a/secret"), "renamed")


@attack
def devices_and_fifos():
    for kind, major, minor in ((stat.S_IFCHR, 1, 1), (stat.S_IFBLK, 254, 0), (stat.S_IFCHR, 0, 0)):
        device = os.makedev(major, minor)
        refused(lambda k=kind, d=device: os.mknod("/rw/node", k | 0o666, d), errno.EPERM)
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/rw/white", "w", encoding="utf8"):
        pass
    # RENAME_WHITEOUT leaves a device behind.
    check(libc.renameat2(-100, b"/rw/white", -100, b"/rw/black", 4) != 0, "made a whiteout")
    os.mkfifo("/rw/pipe")
    check(subprocess.run(["sh", "-c", "cat /rw/pipe & echo through > /rw/pipe; wait"], timeout=60,
                         capture_output=True, check=True).stdout == b"through\n", "FIFO")
    server = socket.socket(socket.AF_UNIX)
    server.bind("/rw/socket")
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect("/rw/socket")
    # A FIFO and a socket of the host's: the names are there, and nobody is behind them.
    refused(lambda: os.open("/rw/host-fifo", os.O_WRONLY | os.O_NONBLOCK), errno.ENXIO)
    stranger = socket.socket(socket.AF_UNIX)
    refused(lambda: stranger.connect("/rw/host-socket"), errno.ECONNREFUSED)


@attack
def huge_names():
    with open("/rw/" + "n" * 255, "w", encoding="utf8"):
        pass
    refused(lambda: os.mkdir("/rw/" + "n" * 256), errno.ENAMETOOLONG)
    refused(lambda: os.stat("/rw/" + "n" * 5000), errno.ENAMETOOLONG)
    refused(lambda: os.symlink("t" * 4096, "/rw/long"), errno.ENAMETOOLONG)
    os.symlink("t" * 4000, "/rw/longish")
    check(len(os.readlink("/rw/longish")) == 4000, "a long link")
    refused(lambda: os.setxattr("/rw/file", "user." + "x" * 300, b"v"), errno.ERANGE, errno.ENAMETOOLONG)
    refused(lambda: os.setxattr("/rw/file", "user.big", b"v" * 70000))
    for odd in (b"\xff\xfe", b"new\nline", b"\x01", "ümläut".encode(), b"-rf", b"a\\b"):
        with open(b"/rw/odd-" + odd, "wb"):
            pass
    check(len([name for name in os.listdir(b"/rw") if name.startswith(b"odd-")]) == 6, "odd names")


@attack
def a_tree_without_end():
    os.mkdir("/rw/tree")
    os.chdir("/rw/tree")
    for _ in range(200):
        os.mkdir("deeper")
        os.chdir("deeper")
    os.chdir("/")


@attack
def setuid_programs():
    with open("/rw/program", "w", encoding="utf8") as file:
        file.write("#!/bin/sh\n")
    for mode in (0o4755, 0o2755, 0o6777):
        os.chmod("/rw/program", mode)
        check(os.stat("/rw/program").st_mode & 0o6000 == 0, oct(mode))
    os.close(os.open("/rw/program2", os.O_CREAT | os.O_WRONLY, 0o6755))
    check(os.stat("/rw/program2").st_mode & 0o6000 == 0, "created so")
    os.mknod("/rw/program3", stat.S_IFREG | 0o6755)
    check(os.stat("/rw/program3").st_mode & 0o6000 == 0, "made so")
    # One of the host's that is written to is one no more.
    with open("/rw/host-setuid", "a", encoding="utf8") as file:
        file.write("evil\n")
    check(os.stat("/rw/host-setuid").st_mode & 0o6000 == 0, "kept setuid")
    for name in ("security.capability", "security.selinux", "trusted.overlay.opaque",
                 "system.posix_acl_access"):
        refused(lambda n=name: os.setxattr("/rw/program", n, b"\x01" * 20))


@attack
def read_only_stays_read_only():
    subprocess.run("mount -o remount,rw /ro; mkdir -p /again; mount -t virtiofs msb /again", shell=True,
                   check=False, capture_output=True)
    for place in ("/ro", "/again/1"):
        file = f"{place}/file"
        for call, *words in ((os.open, file, os.O_WRONLY), (os.open, file, os.O_RDONLY | os.O_TRUNC),
                             (os.unlink, file), (os.chmod, file, 0o777), (os.utime, file),
                             (os.truncate, file, 0), (os.chown, file, 1, 1),
                             (os.setxattr, file, "user.x", b"x"), (os.rename, file, f"{place}/g"),
                             (os.mkdir, f"{place}/new"), (os.mkfifo, f"{place}/fifo"),
                             (os.symlink, "x", f"{place}/link")):
            refused(lambda c=call, w=words: c(*w), errno.EROFS)
    check(contents("/again/0/file") != "" and contents("/again/2") == "", "the root has its two entries")
    for call in (lambda: os.mkdir("/again/x"), lambda: os.rename("/again/0", "/again/1"),
                 lambda: os.rmdir("/again/0"), lambda: os.chmod("/again", 0o777)):
        refused(call)


@attack
def sizes_and_offsets():
    fd = os.open("/rw/sparse", os.O_CREAT | os.O_RDWR)
    for offset in (2**63 - 1, 2**62, 2**56):
        with contextlib.suppress(OSError, OverflowError):
            os.pwrite(fd, b"x", offset)
    for size in (2**63 - 1, 2**60):
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size)
        with contextlib.suppress(OSError):
            os.posix_fallocate(fd, 0, size)
    with contextlib.suppress(OSError):
        os.copy_file_range(fd, fd, 2**40, 2**41, 0)
    os.close(fd)
    os.unlink("/rw/sparse")


@attack
def more_files_than_it_may_hold():
    """The test's daemon allows few: the next ones are refused, and all is well when they are let go."""
    held = []
    try:
        for i in range(400):
            held.append(os.open(f"/rw/held{i}", os.O_CREAT | os.O_WRONLY))
        raise Broken("no limit")
    except OSError as error:
        check(error.errno == errno.ENFILE, str(error))
    finally:
        for fd in held:
            os.close(fd)
    with open("/proc/sys/vm/drop_caches", "w", encoding="utf8") as file:
        file.write("2")
    check(contents("/rw/file") != "", "no way back")


@attack
def killed_in_the_middle():
    """Processes that die while their requests are under way, many times."""
    for _ in range(15):
        script = ("while :; do ls -lR /rw >/dev/null; "
                  "dd if=/dev/zero bs=64k count=20 of=/rw/victim 2>/dev/null; done")
        victim = subprocess.Popen(["sh", "-c", script], start_new_session=True)
        time.sleep(random.random() / 5)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    check(contents("/rw/file") != "", "the mount is gone")


def main():
    for function in ATTACKS:
        try:
            function()
            print("held", function.__name__, flush=True)
        except Broken as why:
            print(f"BROKEN {function.__name__}: {why}", flush=True)
        except Exception as error:  # an attack that cannot be tried is no attack that was held
            print(f"BROKEN {function.__name__}: {type(error).__name__}: {error}", flush=True)
        finally:
            os.chdir("/")


main()
