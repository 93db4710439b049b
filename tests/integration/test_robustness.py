# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Clients that ask for the impossible or vanish: nothing of them stays."""
import os
import pathlib
import subprocess
import time

import pytest

IMPOSSIBLE = [
    ["create", "--pull", "never", "--image", "no-such-image"],
    ["create", "--name", "a/b"],
    ["create", "--memory", "0"],
    ["run", "--pull", "never", "--image", "no-such-image", "--", "true"],
    ["exec", "no-such-box", "--", "true"],
    ["attach", "no-such-box", "1"],
    ["cp", "/etc/passwd", "no-such-box:/"],
]


def held_by(daemon):
    """What would grow if something leaked: descriptors of msbd, sandboxes, directories, processes."""
    return {
        "descriptors": len(os.listdir(f"/proc/{daemon.pid}/fd")),
        "sandboxes": sorted(daemon.names()),
        "directories": sorted(os.listdir(daemon.runtime / "sandboxes")),
        "vmms": sum(b"msb-vmm" in command for command in commands()),
    }


def commands():
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes()
            except OSError:  # it has ended
                pass


def held_at_rest(daemon):
    """When nothing is on its way: a call that ends, a boot snapshot in the making."""
    before, now = None, held_by(daemon)
    while before != now or any("snapshot" in name for name in now["directories"]):
        time.sleep(0.5)
        before, now = now, held_by(daemon)
    return now


def settles(look, wanted, seconds=120):
    """Connections are closed by msbd when it hears of their end, which is soon."""
    deadline = time.monotonic() + seconds
    while (seen := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return seen


def test_the_impossible_leaves_nothing(box):
    daemon = box.daemon
    for arguments in IMPOSSIBLE:
        daemon.msbctl(*arguments, check=False)  # what is made once, is made now
    before = held_at_rest(daemon)
    for _ in range(5):
        for arguments in IMPOSSIBLE:
            assert daemon.msbctl(*arguments, check=False).returncode != 0
        for command in ("/no/such/program", "/etc/passwd"):
            assert box.exec(command, check=False).returncode in (126, 127)
        assert box.exec("true", options=["-u", "nobody-at-all"], check=False).returncode == 125
    assert settles(lambda: held_by(daemon), before) == before


def run_two_at_once(box):
    """The agent keeps a cgroup for as many commands as there ever were at once."""
    first = box.daemon.popen("exec", "-i", box.name, "--", "sh", "-c", "echo up; read line",
                             stdin=subprocess.PIPE)
    assert first.stdout.readline() == b"up\n"
    box.exec("true")
    first.communicate(b"\n", timeout=60)


def test_clients_that_vanish_in_the_middle_leave_nothing(box, tmp_path):
    daemon = box.daemon
    mib = 64 if box.engine == "qemu" else 1  # 64 take minutes on an emulated ring 0
    (tmp_path / "big").write_bytes(os.urandom(1 << 20) * mib)
    box.sh(f"mkdir -p /tmp/in; dd if=/dev/zero of=/tmp/out bs=1M count={mib} 2>/dev/null")
    run_two_at_once(box)
    agent_before = int(box.sh("ls /proc/1/fd | wc -l"))
    before = held_at_rest(daemon)
    for victim in (["cp", tmp_path / "big", f"{box.name}:/tmp/in/big"],
                   ["cp", f"{box.name}:/tmp/out", tmp_path / "back"],
                   ["exec", box.name, "--", "sh", "-c", "exec cat /tmp/out > /dev/null"],
                   ["logs", "-f", box.name],
                   ["events", box.name]):
        process = daemon.popen(*victim, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.15)  # somewhere in the middle, and not always at the same place
        process.kill()
        process.wait()
    assert settles(lambda: held_by(daemon), before) == before
    # Nothing but a whole file, if it was that quick.
    assert set(box.sh("ls -A /tmp/in").split()) <= {"big"}
    assert settles(lambda: int(box.sh("ls /proc/1/fd | wc -l")), agent_before) == agent_before
    box.sh("rm -r /tmp/in /tmp/out")


@pytest.mark.parametrize("option", ["-d", "-i"])
def test_a_command_whose_sandbox_goes_says_so(daemon, option):
    name = daemon.msbctl("create", "--image", "busybox").stdout.decode().strip()
    process = daemon.popen("exec", *([] if option == "-d" else [option]), name, "--", "sh", "-c",
                           "echo up; sleep 1000")
    assert process.stdout.readline() == b"up\n"
    daemon.msbctl("rm", "-f", name)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 125
    assert b"[SANDBOX_STOPPED]" in errors
