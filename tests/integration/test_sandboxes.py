# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""The life of sandboxes, on the engine that the host runs best."""
import concurrent.futures
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import BUILD, Box


def wait_for(daemon, name, state, seconds=60):
    """Follows the daemon's events until the sandbox is in the state."""
    deadline = time.monotonic() + seconds
    watcher = daemon.popen("--format", "json", "events", name)
    try:
        while daemon.state(name) != state:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([watcher.stdout], [], [], max(left, 0))
            assert ready, f"{name} is {daemon.state(name)}, not {state}, after {seconds} s"
            os.read(watcher.stdout.fileno(), 65536)
    finally:
        watcher.kill()
        watcher.communicate()


def test_run_is_one_command_and_leaves_nothing(daemon):
    before = daemon.names()
    result = daemon.msbctl("run", "--", "python3", "-c", "print(6*7)")
    assert (result.stdout, result.returncode) == (b"42\n", 0)
    assert daemon.names() == before
    assert daemon.msbctl("run", "--", "sh", "-c", "exit 9", check=False).returncode == 9


def test_run_takes_the_busybox_image(daemon):
    assert daemon.msbctl("run", "--image", "busybox", "--", "sh", "-c", "echo $((6*7))").stdout == \
        b"42\n"


def test_ctrl_c_ends_run_and_removes_the_sandbox(daemon):
    before = daemon.names()
    # In place of the shell: dash drops a signal that comes while it makes a process.
    process = daemon.popen("run", "--", "sh", "-c", "echo up; exec sleep 1000")
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert daemon.names() == before


def test_files_survive_a_stop(fresh):
    fresh.sh("echo kept > /root/file")
    fresh.daemon.msbctl("stop", fresh.name)
    assert fresh.daemon.state(fresh.name) == "stopped"
    refused = fresh.exec("true", check=False)
    assert refused.returncode == 125 and "[SANDBOX_NOT_RUNNING]" in refused.stderr.decode()
    fresh.daemon.msbctl("start", fresh.name)
    assert fresh.sh("cat /root/file") == "kept\n"
    fresh.daemon.msbctl("restart", fresh.name)
    assert fresh.sh("cat /root/file") == "kept\n"


def test_more_than_one_cpu(daemon):
    box = Box(daemon, "--vcpus", "2", "--memory", "256")
    assert box.output("nproc") == "2\n"
    total = int(re.search(r"MemTotal:\s+(\d+)", box.output("cat", "/proc/meminfo"))[1])
    assert 180_000 < total < 262_144
    box.remove()


def test_a_full_disk_is_the_guests_own_problem(fresh):
    # Taken without being written: what counts is the last block.
    fill = ("free=$(df --output=avail -B1M / | tail -1); fallocate -l $((free - 8))M /root/big; "
            "dd if=/dev/zero of=/root/more bs=1M")
    result = fresh.exec("sh", "-c", fill, check=False, timeout=600)
    assert result.returncode == 1 and b"No space left" in result.stderr
    assert fresh.sh("rm /root/big /root/more; echo fine") == "fine\n"


def test_a_fork_bomb_harms_only_its_own_sandbox(fresh, daemon):
    other = Box(daemon)
    fresh.exec("sh", "-c", "ulimit -u 200; :(){ :|:& };: & sleep 2", options=["--timeout", "20"],
               check=False)
    assert other.output("echo", "fine") == "fine\n"
    other.remove()


def test_a_guest_that_eats_its_memory_harms_only_itself(fresh):
    fresh.exec("python3", "-c", "x = bytearray(2 << 30)", check=False, timeout=600)
    assert fresh.output("echo", "fine") == "fine\n"


def test_a_guest_that_resets_itself_is_a_reason(fresh):
    fresh.exec("python3", "-c", "import ctypes; ctypes.CDLL(None).reboot(0x1234567)", check=False)
    wait_for(fresh.daemon, fresh.name, "failed")
    assert fresh.daemon.inspect(fresh.name)["reason"] in {"GUEST_RESET",
                                                          "TRIPLE_FAULT"}


def test_a_killed_vmm_is_a_reason_and_leaves_nothing(fresh):
    vmm = vmm_pids(fresh.daemon)[fresh.daemon.inspect(fresh.name)["id"]]
    waiting = fresh.daemon.popen("exec", fresh.name, "--", "sh", "-c", "echo up; sleep 1000")
    assert waiting.stdout.readline() == b"up\n"
    os.kill(vmm, signal.SIGKILL)
    _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 125
    assert re.search(r"\[(EXEC_LOST|VMM_DIED|SANDBOX_STOPPED)\]", errors.decode())
    wait_for(fresh.daemon, fresh.name, "failed")
    assert fresh.daemon.inspect(fresh.name)["reason"] == "VMM_DIED"
    fresh.daemon.msbctl("start", fresh.name)
    assert fresh.output("echo", "again") == "again\n"


def test_twenty_at_once(daemon):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        results = list(pool.map(
            lambda n: daemon.msbctl("run", "--memory", "128", "--image", "busybox", "--", "sh", "-c",
                                    f"echo {n}", timeout=500), range(20)))
    assert [result.stdout for result in results] == [f"{n}\n".encode() for n in range(20)]


def test_limits_of_time_end_a_sandbox(daemon):
    idle = Box(daemon, "--idle-timeout", "1")
    short = Box(daemon, "--lifetime", "3")
    wait_for(daemon, idle.name, "stopped")
    wait_for(daemon, short.name, "stopped")
    assert daemon.inspect(idle.name)["reason"] == "IDLE_TIMEOUT"
    assert daemon.inspect(short.name)["reason"] == "LIFETIME_EXCEEDED"
    idle.remove()
    short.remove()


@pytest.mark.parametrize("arguments, reason", [
    (["create", "--pull", "never", "--image", "no-such-image"], "IMAGE_NOT_FOUND"),
    (["create", "--name", "a/b"], "INVALID_NAME"),
    (["create", "--name", "a" * 129], "INVALID_NAME"),
    (["create", "--memory", "0"], "INVALID_RESOURCES"),
    (["create", "--memory", "1"], "INVALID_RESOURCES"),
    (["create", "--memory", "100T"], "INVALID_RESOURCES"),
    (["create", "--vcpus", "33"], "INVALID_RESOURCES"),
    (["create", "--label", "=x"], "INVALID_ARGUMENT"),
    (["exec", "no-such-box", "true"], "SANDBOX_NOT_FOUND"),
    (["rm", "no-such-box"], "SANDBOX_NOT_FOUND"),
    (["logs", "no-such-box"], "SANDBOX_NOT_FOUND"),
    (["attach", "no-such-box", "1"], "SANDBOX_NOT_FOUND"),
])
def test_bad_requests_say_why(daemon, arguments, reason):
    before = daemon.names()
    result = daemon.msbctl(*arguments, check=False)
    assert result.returncode != 0
    assert f"[{reason}]" in result.stderr.decode()
    assert daemon.names() == before


def test_names_are_unique(fresh):
    again = fresh.daemon.msbctl("create", "--name", fresh.name, check=False)
    assert "[SANDBOX_NAME_TAKEN]" in again.stderr.decode()


def test_a_running_sandbox_is_not_removed_by_accident(fresh):
    refused = fresh.daemon.msbctl("rm", fresh.name, check=False)
    assert refused.returncode == 1 and "[SANDBOX_WRONG_STATE]" in refused.stderr.decode()
    assert fresh.output("echo", "alive") == "alive\n"


def test_labels_select(daemon):
    box = Box(daemon, "--label", "team=red", "--label", "x=1")
    assert daemon.msbctl("ls", "-q", "-l", "team=red").stdout.decode().split() == [box.name]
    assert daemon.msbctl("ls", "-q", "-l", "team=blue").stdout == b""
    box.remove()


def test_doctor_finds_this_host_fit(daemon):
    result = daemon.msbctl("doctor", check=False)
    assert result.returncode == 0, result.stdout.decode()


def test_an_idle_daemon_is_small(daemon):
    status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    anonymous = int(re.search(r"RssAnon:\s+(\d+)", status)[1])
    assert anonymous < 100 * 1024, "after the whole suite; the idle figure is in tests/performance"


def vmm_pids(daemon):
    """Sandbox id -> pid of its VMM, told by the cgroup."""
    found = {}
    ids = {box["id"] for box in daemon.json("ls", "-a")["sandboxes"]}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if entry.joinpath("comm").read_text().strip() != "msb-vmm":
                continue
            cgroup = entry.joinpath("cgroup").read_text()
        except OSError:
            continue
        for sandbox in ids:
            if sandbox in cgroup:
                found[sandbox] = int(entry.name)
    return found


# --- daemons of their own ----------------------------------------------------------------------------


def test_sandboxes_and_commands_outlive_a_restart_of_the_daemon(new_daemon):
    daemon = new_daemon()
    box = Box(daemon)
    exec_id = box.exec("sh", "-c", "echo before; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo after",
                       options=["-d"]).stdout.decode().strip()
    daemon.stop()
    daemon.start()
    assert daemon.state(box.name) == "running"
    box.sh("touch /tmp/go")
    assert daemon.msbctl("attach", box.name, exec_id).stdout == b"before\nafter\n"
    os.kill(daemon.pid, signal.SIGKILL)
    wait_gone(daemon.pid)
    daemon.start()
    assert box.output("echo", "still") == "still\n"


def test_a_vmm_that_died_while_the_daemon_was_away_is_told(new_daemon):
    daemon = new_daemon()
    box = Box(daemon)
    vmm = vmm_pids(daemon)[daemon.inspect(box.name)["id"]]
    daemon.stop()
    os.kill(vmm, signal.SIGKILL)
    daemon.start()
    wait_for(daemon, box.name, "failed")
    assert daemon.inspect(box.name)["reason"] == "VMM_DIED"


def test_nothing_is_left_behind(new_daemon):
    daemon = new_daemon()
    box = Box(daemon)
    sandbox = daemon.inspect(box.name)["id"]
    box.remove()
    assert not list(daemon.runtime.glob(f"*{sandbox}*"))
    assert not list((daemon.data / "state").rglob(f"*{sandbox}*"))
    assert sandbox not in pathlib.Path("/proc/self/mountinfo").read_text()
    left = subprocess.run(["find", "/sys/fs/cgroup", "-name", f"*{sandbox}*"], capture_output=True)
    assert left.stdout == b""
    assert sandbox not in subprocess.run(["ps", "axww"], capture_output=True).stdout.decode()


def test_without_the_group_there_is_an_answer_not_a_hang_up(new_daemon):
    daemon = new_daemon()
    stranger = subprocess.run(daemon.command("ls"), env=daemon.environment, capture_output=True,
                              user=12345, group=12345, extra_groups=[], timeout=60)
    assert stranger.returncode == 1
    assert "[PERMISSION_DENIED]" in stranger.stderr.decode()
    member = subprocess.run(daemon.command("run", "--", "echo", "hello"), env=daemon.environment,
                            capture_output=True, user="nobody", group="nogroup", timeout=120)
    assert member.stdout == b"hello\n", member.stderr


def test_a_user_sees_only_their_own(new_daemon):
    daemon = new_daemon()
    box = Box(daemon)
    seen = subprocess.run(daemon.command("ls", "-aq"), env=daemon.environment, capture_output=True,
                          user="nobody", group="nogroup", timeout=60)
    assert seen.stdout == b""
    touched = subprocess.run(daemon.command("rm", "-f", box.name), env=daemon.environment,
                             capture_output=True, user="nobody", group="nogroup", timeout=60)
    assert "[SANDBOX_NOT_FOUND]" in touched.stderr.decode()


def test_a_second_daemon_on_the_same_data_is_refused(new_daemon):
    daemon = new_daemon()
    second = subprocess.run([BUILD / "supervisor/msbd", "--config", daemon.config],
                            capture_output=True, timeout=60)
    assert second.returncode != 0
    assert str(daemon.data / "state") in second.stderr.decode()
    assert daemon.msbctl("ls").returncode == 0


def test_without_a_daemon_there_is_a_way_out():
    result = subprocess.run([BUILD / "sdks/msbctl/msbctl", "ls"], capture_output=True,
                            env=dict(os.environ, MSB_SOCKET="/nonexistent/msbd.sock"))
    assert result.returncode == 1
    assert "[DAEMON_UNREACHABLE]" in result.stderr.decode()
    assert "msbctl daemon start" in result.stderr.decode()


@pytest.mark.parametrize("line, complaint", [
    ("[daemon]\nsokcet = 1", "sokcet"),
    ("[sandbox]\nmemory_mib = 'much'", "memory_mib"),
    ("[sandbox]\nvcpus = 33", "vcpus"),
    ("[nonsense]", "nonsense"),
    ("[daemon", "end-of-file"),
])
def test_a_wrong_configuration_names_file_line_and_key(tmp_path, line, complaint):
    config = tmp_path / "config.toml"
    config.write_text(line)
    result = subprocess.run([BUILD / "supervisor/msbd", "--config", config, "--check-config"],
                            capture_output=True, timeout=60)
    assert result.returncode != 0
    message = result.stderr.decode()
    assert str(config) in message and complaint in message
    assert re.search(r":\d+|line \d+", message)


def wait_gone(pid):
    process = os.pidfd_open(pid)
    select.select([process], [], [], 60)
    os.close(process)


def test_garbage_on_the_daemons_socket_harms_nobody(daemon):
    import socket
    for payload in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                    b""):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(daemon.socket))
            client.sendall(payload)
    assert daemon.msbctl("ls").returncode == 0
    assert json.loads(daemon.msbctl("info").stdout)["version"]
