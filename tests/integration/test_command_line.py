# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""What people meet at the command line: errors, help, completion, pipes."""
import json
import os
import re
import signal
import subprocess

import pytest

from conftest import BUILD, Box

MSBCTL = str(BUILD / "sdks/msbctl/msbctl")


def alone(*arguments, **options):
    """msbctl without a daemon."""
    environment = dict(os.environ, MSB_SOCKET="/nonexistent/msbd.sock", TERM="dumb")
    return subprocess.run([MSBCTL, *arguments], env=environment, capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL, **options)


@pytest.mark.parametrize("arguments, code, complaint", [
    (["crate"], 2, "did you mean 'create'?"),
    (["list"], 2, "did you mean 'ls'?"),
    (["ls", "--al"], 2, "did you mean '--all'?"),
    (["ps"], 2, "SANDBOX is missing"),
    ([], 2, "msbctl needs a command"),
    (["run", "--vcpus", "many", "--", "true"], 125, "--vcpus"),
    (["run", "--tty2", "--", "true"], 125, "did you mean '--tty'?"),
    (["exec", "box"], 125, "no command is given"),
    (["create", b"\xff"], 2, "UTF-8"),
])
def test_a_wrong_command_line_says_what_was_meant(arguments, code, complaint):
    result = alone(*arguments)
    assert (result.returncode, result.stdout) == (code, b"")
    assert complaint in result.stderr.decode()
    assert len(result.stderr.splitlines()) <= 3


def test_a_closed_stream_is_no_place_for_other_files(box):
    # Each number that is free would go to the next file, the connection to the daemon among them.
    def run(close, *arguments):
        command = " ".join(['"$@"', close])
        return subprocess.run(["sh", "-c", command, "-", *box.daemon.command(*arguments)],
                              env=box.daemon.environment, capture_output=True, timeout=60)
    result = run(">&-", "exec", box.name, "--", "echo", "hi")
    assert result.returncode == 1 and b"Bad file descriptor" in result.stderr
    assert run("2>&-", "exec", box.name, "--", "sh", "-c", "echo out; echo err >&2").stdout == b"out\n"
    assert run("<&-", "exec", "-i", box.name, "--", "cat").returncode == 0


def test_what_the_guest_says_is_told_as_it_is(box):
    result = box.exec("true", options=["-u", "nobody-at-all"], check=False)
    assert b"the image's /etc/passwd has no user \"nobody-at-all\"" in result.stderr


def test_help_is_there_for_who_asks_either_way():
    assert alone("help", "exec").stdout == alone("exec", "--help").stdout
    assert b"Exit codes:" in alone("--help").stdout
    assert b"usage: msbctl exec [OPTIONS] SANDBOX [--] COMMAND [ARG...]" in alone("help", "exec").stdout


def test_every_help_is_grouped_and_fits_a_terminal():
    top = alone("--help").stdout.decode()
    assert re.findall(r"^(\w.*):$", top, re.M) == [
        "Sandboxes", "In a sandbox", "Network", "What goes on", "This host", "Global options",
        "Exit codes", "First steps"]
    commands = re.findall(r"^  ([a-z]+)  ", top.split("Global options")[0], re.M)
    assert len(commands) > 25
    for command in commands:
        told = alone(command, "--help").stdout.decode()
        assert max(map(len, told.splitlines())) <= 80, told
        assert told.count("[") == told.count("]"), told
        assert " TEXT " not in told and " UINT " not in told, told


def test_an_error_has_a_next_step(daemon):
    box = Box(daemon, "--no-start")
    result = daemon.msbctl("exec", box.name, "--", "true", check=False)
    assert result.returncode == 125
    assert b"[SANDBOX_NOT_RUNNING]\n  -> msbctl start" in result.stderr
    box.remove()


def test_output_that_cannot_be_written_is_a_failure(daemon, fresh):
    with open("/dev/full", "w") as full:
        for arguments in (["ls"], ["exec", fresh.name, "--", "echo", "hi"]):
            result = subprocess.run(daemon.command(*arguments), env=daemon.environment, stdout=full,
                                    stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
            assert result.returncode == 1
            assert b"No space left on device" in result.stderr


def complete(daemon, *words):
    """What bash offers for the last of `words`."""
    script = ('source <(msbctl completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_msbctl; printf "%s\\n" "${COMPREPLY[@]}"')
    environment = dict(daemon.environment, PATH=f"{BUILD}/sdks/msbctl:{os.environ['PATH']}")
    result = subprocess.run(["bash", "-c", script, "-", *words], env=environment, timeout=60,
                            capture_output=True, stdin=subprocess.DEVNULL, check=True)
    assert result.stderr == b""
    return result.stdout.decode().split()


def test_bash_completes_what_there_is(daemon, fresh):
    assert complete(daemon, "msbctl", "comp") == ["completion"]
    assert fresh.name in complete(daemon, "msbctl", "exec", "")
    assert fresh.name in complete(daemon, "msbctl", "--format", "json", "inspect", fresh.name[:3])
    assert f"{fresh.name}:" in complete(daemon, "msbctl", "cp", "")
    assert "--workdir" in complete(daemon, "msbctl", "exec", "--w")
    assert complete(daemon, "msbctl", "create", "--engine", "q") == ["qemu"]
    assert set(complete(daemon, "msbctl", "daemon", "st")) == {"start", "stop", "status"}
    exec_id = fresh.exec("true", options=["-d"]).stdout.decode().strip()
    assert exec_id in complete(daemon, "msbctl", "attach", fresh.name, "")


def test_who_loses_the_daemon_is_told_how_to_go_on(new_daemon):
    daemon = new_daemon()
    box = Box(daemon)
    process = daemon.popen("exec", box.name, "--", "sh", "-c",
                           "echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done")
    assert process.stdout.readline() == b"up\n"
    os.kill(daemon.pid, signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 125
    attach = re.search(rb"msbctl (attach \S+ \S+)", stderr)[1].decode().split()
    daemon.start()
    box.sh("touch /tmp/go")
    assert daemon.msbctl(*attach).stdout == b"up\ndone\n"


def test_a_daemon_that_cannot_start_says_why(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("[daemon]\nsokcet = 1\n")
    result = alone("daemon", "--msbd", BUILD / "supervisor/msbd", "--config", config, "--log-file",
                   tmp_path / "msbd.log", "start")
    assert result.returncode == 1
    assert b"sokcet" in result.stderr
    denied = alone("daemon", "--msbd", BUILD / "supervisor/msbd", "--log-file", "/no/such/log", "start")
    assert b"/no/such/log" in denied.stderr and b"--log-file" in denied.stderr
