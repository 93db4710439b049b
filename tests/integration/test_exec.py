# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Commands in a running sandbox, on both engines."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import pytest


def test_output_and_exit_code_are_the_commands(box):
    result = box.exec("sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert result.stdout == b"out\n"
    assert result.stderr == b"err\n"
    assert result.returncode == 7


def test_a_signal_that_killed_it_shows_in_the_exit_code(box):
    assert box.exec("sh", "-c", "kill -KILL $$", check=False).returncode == 137


def test_python_runs(box):
    assert box.output("python3", "-c", "print(6*7)") == "42\n"


def test_a_script_on_standard_input(box):
    result = box.exec("python3", "-", input=b"import sys; print(sys.version_info.major)")
    assert result.stdout == b"3\n"


def test_every_byte_value_survives_both_ways(box):
    data = bytes(range(256)) * 4096
    assert box.exec("cat", input=data).stdout == data


def test_environment_directory_and_user(box):
    assert box.output("sh", "-c", "echo $A-$B", options=["-e", "A=1", "-e", "B=two words"]) == \
        "1-two words\n"
    assert box.output("pwd", options=["-w", "/tmp"]) == "/tmp\n"
    assert box.output("id", "-u", options=["-u", "nobody"]) == "65534\n"
    assert box.output("id", "-u", options=["-u", "1234:5678"]) == "1234\n"
    assert box.output("id", "-g", options=["-u", "1234:5678"]) == "5678\n"


@pytest.mark.parametrize("command, options, code, reason", [
    (["no-such-program"], [], 127, "COMMAND_NOT_FOUND"),
    (["/no/such/program"], [], 127, "COMMAND_NOT_FOUND"),
    (["/etc/passwd"], [], 126, "COMMAND_NOT_EXECUTABLE"),
    (["true"], ["-u", "nobody-at-all"], 125, "USER_NOT_FOUND"),
    (["true"], ["-w", "/no/such/directory"], 125, "WORKING_DIRECTORY_INVALID"),
])
def test_what_cannot_start_says_why(box, command, options, code, reason):
    result = box.exec(*command, options=options, check=False)
    assert result.returncode == code
    assert f"[{reason}]" in result.stderr.decode()


def test_a_time_limit_kills_the_whole_group(box):
    marker = f"9{os.getpid() % 1000:03d}"
    result = box.exec("sh", "-c", f"sleep {marker} & sleep {marker}", options=["--timeout", "2"],
                      check=False)
    assert result.returncode == 124
    assert "[EXEC_TIMEOUT]" in result.stderr.decode()
    assert marker not in box.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").replace(
        f"grep {marker}", "")


def test_ctrl_c_reaches_the_command(box):
    process = box.daemon.popen("exec", box.name, "--", "sh", "-c",
                               "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.1; done")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(subprocess.signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert (output, process.returncode) == (b"caught\n", 3)


def test_a_terminal_with_its_size(box):
    controller, terminal = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    process = box.daemon.popen("exec", "-it", box.name, "--", "sh", "-c",
                               "tty >/dev/null && stty size; read line; echo got:$line",
                               stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""

    def read_until(text):
        nonlocal seen
        while text not in seen:
            ready, _, _ = select.select([controller], [], [], 120)
            assert ready, seen
            seen += os.read(controller, 4096)

    read_until(b"33 101")
    os.write(controller, b"hello\r")
    read_until(b"got:hello")
    assert process.wait(timeout=120) == 0
    os.close(controller)


def test_a_detached_command_can_be_joined_later(box):
    exec_id = box.exec("sh", "-c", "echo first; echo second >&2; exit 5",
                       options=["-d"]).stdout.decode().strip()
    result = box.daemon.msbctl("attach", box.name, exec_id, check=False)
    assert (result.stdout, result.stderr, result.returncode) == (b"first\n", b"second\n", 5)
    again = box.daemon.msbctl("attach", box.name, exec_id, check=False)
    assert again.stdout == b"first\n"


def test_a_command_outlives_its_client(box):
    process = box.daemon.popen(
        "exec", box.name, "--", "sh", "-c",
        "echo before; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo after")
    assert process.stdout.readline() == b"before\n"
    process.kill()
    process.wait()
    execs = box.daemon.json("ps", box.name)["execs"]
    (exec_id,) = [e["exec_id"] for e in execs if e["running"] and "before" in " ".join(e["argv"])]
    box.sh("touch /tmp/go")
    result = box.daemon.msbctl("attach", box.name, exec_id)
    assert result.stdout == b"before\nafter\n"
    box.sh("rm /tmp/go")


def test_two_clients_on_one_command(box):
    first = box.daemon.popen("exec", "-i", box.name, "--", "sh", "-c", "echo up; cat",
                             stdin=subprocess.PIPE)
    assert first.stdout.readline() == b"up\n"
    (exec_id,) = [e["exec_id"] for e in box.daemon.json("ps", box.name)["execs"]
                  if e["running"] and "echo up; cat" in e["argv"]]
    second = box.daemon.msbctl("attach", box.name, exec_id, check=False, input=b"")
    assert second.returncode == 125
    assert "[EXEC_ALREADY_ATTACHED]" in second.stderr.decode()
    output, _ = first.communicate(b"still here\n", timeout=120)
    assert output == b"still here\n"


def test_a_reader_that_leaves_ends_the_command(box):
    process = box.daemon.popen("exec", box.name, "--", "yes")
    assert process.stdout.read(4) == b"y\ny\n"
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=120) == 141  # 128 + SIGPIPE, as in a local pipeline


def test_files_go_in_and_come_back(box, tmp_path):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "data.bin").write_bytes(os.urandom(300_000))
    (tree / "sub/run.sh").write_text("#!/bin/sh\necho ran\n")
    (tree / "sub/run.sh").chmod(0o755)
    (tree / "link").symlink_to("data.bin")
    box.daemon.msbctl("cp", tree, f"{box.name}:/tmp/in")
    assert box.output("/tmp/in/sub/run.sh") == "ran\n"
    assert box.output("readlink", "/tmp/in/link") == "data.bin\n"
    box.daemon.msbctl("cp", f"{box.name}:/tmp/in", tmp_path / "back")
    assert (tmp_path / "back/data.bin").read_bytes() == (tree / "data.bin").read_bytes()
    assert os.readlink(tmp_path / "back/link") == "data.bin"
    assert (tmp_path / "back/sub/run.sh").stat().st_mode & 0o777 == 0o755
    box.sh("rm -r /tmp/in")


def test_a_file_of_proc_comes_out_with_its_content(box, tmp_path):
    box.daemon.msbctl("cp", f"{box.name}:/proc/cpuinfo", tmp_path)
    assert (tmp_path / "cpuinfo").read_text().startswith("processor\t: 0\n")
    box.daemon.msbctl("cp", f"{box.name}:/sys/class/net/lo/mtu", tmp_path / "mtu")
    assert (tmp_path / "mtu").read_text() == "65536\n"
    box.daemon.msbctl("cp", f"{box.name}:/proc/sys/kernel/random", tmp_path / "random")
    assert len((tmp_path / "random/boot_id").read_text()) == 37
    endless = box.daemon.msbctl("cp", f"{box.name}:/proc/self/pagemap", tmp_path / "mtu", check=False)
    assert b"LIMIT_EXCEEDED" in endless.stderr and b"16 MiB" in endless.stderr, endless.stderr
    assert (tmp_path / "mtu").read_text() == "65536\n"


def test_a_copy_is_of_what_a_symlink_points_to_and_keeps_its_time(box, tmp_path):
    (tmp_path / "file").write_text("content")
    os.utime(tmp_path / "file", (1, 123456789))
    (tmp_path / "link").symlink_to("file")
    box.daemon.msbctl("cp", tmp_path / "link", f"{box.name}:/tmp/copied")
    assert box.output("stat", "-c", "%F %Y", "/tmp/copied") == "regular file 123456789\n"
    assert box.output("cat", "/tmp/copied") == "content"
    box.daemon.msbctl("cp", "/proc/cpuinfo", f"{box.name}:/tmp/copied")
    assert "processor" in box.output("cat", "/tmp/copied"), "proc does not say how long it is"
    refused = box.daemon.msbctl("cp", "/dev/null", f"{box.name}:/tmp/copied", check=False)
    assert b"is no file and no directory" in refused.stderr
    box.sh("rm /tmp/copied")


def test_a_copy_of_names_that_are_no_text_loses_none(box, tmp_path):
    names = [b"a\xfe", b"a\xff"]
    (tmp_path / "tree").mkdir()
    for name in names:
        (tmp_path / "tree" / os.fsdecode(name)).write_bytes(name)
    box.daemon.msbctl("cp", tmp_path / "tree", f"{box.name}:/tmp/in")
    box.daemon.msbctl("cp", f"{box.name}:/tmp/in", tmp_path / "back")
    back = {os.fsencode(path.name): path.read_bytes() for path in (tmp_path / "back").iterdir()}
    assert back == {name: name for name in names}
    box.sh("rm -r /tmp/in")


def open_files(pid):
    """What the descriptors of a process lead to."""
    try:
        return [os.readlink(fd) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:  # it has ended, or closed one
        return []


def test_a_copy_out_replaces_no_device_and_nothing_before_it_is_whole(box, tmp_path):
    box.sh("echo new > /tmp/small; truncate -s 1G /tmp/large")
    box.daemon.msbctl("cp", f"{box.name}:/tmp/small", "/dev/null")
    assert pathlib.Path("/dev/null").is_char_device()
    target = tmp_path / "target"
    target.write_text("old")
    process = box.daemon.popen("cp", f"{box.name}:/tmp/large", target)
    while process.poll() is None and not any(str(tmp_path) in file for file in open_files(process.pid)):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    if process.wait(timeout=60) != 0:  # else it was quicker than the signal
        assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    box.daemon.msbctl("cp", f"{box.name}:/tmp/small", target)
    assert target.read_text() == "new\n"
    box.sh("rm /tmp/small /tmp/large")


def test_the_guest_is_a_machine_of_its_own(box):
    assert box.output("uname", "-r") != os.uname().release
    assert box.output("cat", "/proc/1/comm").strip() in {"msb-agent", "init"}
    mounts = box.output("cat", "/proc/mounts")
    assert "overlay / overlay" in mounts


def test_both_engines_say_which_they_are(box):
    told = box.daemon.inspect(box.name)
    assert told["engine"] == box.engine
    stages = [stage["name"] for stage in told["start_stages"]]
    assert stages[-1] == "ready"
    assert {"machine_ready", "machine_restored"} & set(stages)


def test_pause_freezes_and_resume_goes_on(box):
    box.daemon.msbctl("pause", box.name)
    assert box.daemon.state(box.name) == "paused"
    frozen = box.exec("true", check=False)
    assert frozen.returncode == 125 and "[SANDBOX_WRONG_STATE]" in frozen.stderr.decode()
    box.daemon.msbctl("resume", box.name)
    assert box.output("echo", "on") == "on\n"
    assert abs(int(box.output("date", "+%s")) - time.time()) < 5


def test_stats_and_logs(box):
    metrics = json.loads(box.daemon.msbctl("--format", "json", "stats", box.name).stdout)
    assert int(metrics["memory_usage_bytes"]) > 0
    assert int(metrics["guest_memory_total_bytes"]) > 400 << 20
    assert int(metrics["cpu_usage_ns"]) > 0
    box.sh("echo seen-on-the-console > /dev/console")
    assert b"seen-on-the-console" in box.daemon.msbctl("logs", box.name).stdout


def test_a_hundred_commands_at_once(box):
    count = 100 if box.engine == "qemu" else 10  # each takes 0.3 s of an emulated kernel

    def one(number):
        return box.output("sh", "-c", f"echo {number}", timeout=500)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        assert list(pool.map(one, range(count))) == [f"{n}\n" for n in range(count)]


def test_a_gibibyte_through_both_streams(box):
    if box.engine != "qemu":
        pytest.skip("an emulated kernel copies a few MiB/s")
    size = 1 << 30
    block = os.urandom(1 << 20)
    process = box.daemon.popen("exec", box.name, "--", "cat", stdin=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    sent, received = hashlib.sha256(), hashlib.sha256()
    # msbctl, msbd, and all of the sandbox's: VMM, QEMU, msb-net. The guest's memory is a file's.
    watched = [process.pid, box.daemon.pid, *of_sandbox(box.daemon.inspect(box.name)["id"])]
    assert len(watched) >= 4
    agent_before = guest_agent_kib(box)
    peak = dict.fromkeys(watched, 0)

    def feed():
        for _ in range(size // len(block)):
            process.stdin.write(block)
            sent.update(block)
        process.stdin.close()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(feed)
        total = 0
        while chunk := process.stdout.read(1 << 20):
            received.update(chunk)
            total += len(chunk)
            if total % (64 << 20) < len(chunk):
                peak = {pid: max(peak[pid], anonymous_bytes(pid)) for pid in watched}
        feeding.result()
    assert process.wait() == 0
    assert total == size and sent.digest() == received.digest()
    # QEMU holds its translated code too.
    assert all(held < 250 << 20 for held in peak.values()), peak
    assert sorted(peak.values())[-2] < 100 << 20, peak
    assert guest_agent_kib(box) < agent_before + (16 << 10)


def of_sandbox(sandbox):
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and sandbox in (entry / "cgroup").read_text():
                yield int(entry.name)
        except OSError:  # it has ended
            pass


def anonymous_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) << 10


def guest_agent_kib(box):
    return int(re.search(r"VmHWM:\s+(\d+)", box.output("cat", "/proc/1/status"))[1])
