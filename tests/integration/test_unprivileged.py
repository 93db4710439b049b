# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""All of msbctl, by a user who is a member of the daemon's group and nothing more."""
import json
import os
import pty
import re
import subprocess

import pytest

from conftest import BUILD


@pytest.fixture
def member(daemon, tmp_path):
    """Runs msbctl as that user, in a directory of their own."""
    home = tmp_path / "home"
    home.mkdir()
    for directory in (home, tmp_path, *list(tmp_path.parents)[:-2]):
        directory.chmod(directory.stat().st_mode | 0o011)
    os.chown(home, 65534, 65534)

    rights = dict(user="nobody", group="nogroup", extra_groups=[], cwd=home,
                  env=dict(daemon.environment, HOME=str(home)))

    def msbctl(*arguments, check=True, **options):
        if "input" not in options:
            options["stdin"] = subprocess.DEVNULL
        result = subprocess.run(daemon.command(*arguments), timeout=300, capture_output=True,
                                **rights, **options)
        assert not check or result.returncode == 0, (arguments, result.stderr)
        return result

    def popen(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
        return subprocess.Popen(daemon.command(*arguments), stdin=stdin, stdout=stdout, stderr=stderr,
                                **rights)

    msbctl.home = home
    msbctl.popen = popen
    yield msbctl
    for name in msbctl("ls", "-aq").stdout.decode().split():
        msbctl("rm", "-f", name)


def test_a_sandboxs_whole_life(member):
    assert member("run", "--image", "busybox", "--", "echo", "hi").stdout == b"hi\n"
    name = member("create", "--image", "busybox", "--name", "mine", "--no-start").stdout.decode().strip()
    member("start", name)
    assert member("exec", name, "--", "id", "-u").stdout == b"0\n"  # root there, nobody here
    assert name in member("ls").stdout.decode()
    told = json.loads(member("inspect", name).stdout)
    assert (told["state"], told["name"]) == ("running", "mine")
    member("stop", name)
    member("restart", name)
    assert member("exec", name, "--", "echo", "again").stdout == b"again\n"
    assert member("rm", name, check=False).returncode == 1  # it runs
    member("rm", "-f", name)
    assert member("ls", "-aq").stdout == b""


def test_commands_files_and_what_is_seen_of_them(member):
    name = member("create", "--image", "busybox").stdout.decode().strip()
    exec_id = member("exec", "-d", name, "--", "echo", "out").stdout.decode().strip()
    assert member("attach", name, exec_id).stdout == b"out\n"
    assert exec_id in member("ps", name).stdout.decode()
    assert member("exec", name, "--", "cat", input=b"piped").stdout == b"piped"
    (member.home / "file").write_text("content")
    os.chown(member.home / "file", 65534, 65534)
    member("cp", "file", f"{name}:/root/")
    member("cp", f"{name}:/root/file", "back")
    assert (member.home / "back").read_text() == "content"
    member("exec", name, "--", "sh", "-c", "echo to-the-console > /dev/console")
    assert b"to-the-console" in member("logs", name).stdout
    assert int(json.loads(member("--format", "json", "stats", name).stdout)["memory_usage_bytes"]) > 0
    watcher = member.popen("--format", "json", "events", name)
    member("stop", name)
    assert json.loads(watcher.stdout.readline())["sandbox_name"] == name
    watcher.kill()
    watcher.communicate()


def test_a_shell_on_a_terminal(member):
    name = member("create", "--image", "busybox").stdout.decode().strip()
    ours, theirs = pty.openpty()
    shell = member.popen("shell", name, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, b"echo $((6*7)); exit 3\n")
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # the terminal is hung up
        pass
    os.close(ours)
    assert shell.wait(timeout=60) == 3
    assert re.search(rb"^42\r?$", said, re.M), said


def test_what_is_told_of_the_daemon(member):
    assert member("version").stdout
    assert json.loads(member("info").stdout)["version"]
    assert b"engine" in member("doctor", check=False).stdout
    assert b"running" in member("daemon", "status").stdout
    assert b"[sandbox]" in member("config", "--msbd", BUILD / "supervisor/msbd", "show").stdout
    assert b"msbctl" in member("completion", "bash").stdout
