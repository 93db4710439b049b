# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Directories and files of the host in a sandbox, and volumes of the directory kind (docs/mounts.md)."""
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import ENGINES, Box

# One user who is not root, of the group that the test's daemon serves.
USER, GROUP = 4321, 65534
IMAGE = ("--image", "busybox", "--network", "none")
MOUNTED = "/proc/self/mountinfo"


@pytest.fixture
def host():
    """A directory of the host that every user reaches."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="msb-host-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make(daemon):
    made = []

    def make_box(*options):
        made.append(Box(daemon, *IMAGE, *options))
        return made[-1]

    yield make_box
    for box in made:
        box.remove()


def as_user(daemon, *arguments, **options):
    return daemon.msbctl(*arguments, user=USER, group=GROUP, extra_groups=[], cwd="/", **options)


def server_of(daemon, box):
    """The pid of a sandbox's msb-fs."""
    cgroup = f"{daemon.inspect(box.name)['id']}+fs"
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and cgroup in (entry / "cgroup").read_text():
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError("no msb-fs")


def companion_of(daemon, box):
    return next(one for one in daemon.inspect(box.name)["companions"] if one["name"] == "fs")


def refusal(daemon, *arguments, **options):
    result = daemon.msbctl("create", *IMAGE, *arguments, check=False, **options)
    assert result.returncode != 0
    return result.stderr.decode()


@pytest.mark.parametrize("engine", ENGINES)
def test_both_sides_see_what_the_other_writes(make, host, engine):
    (host / "theirs").write_text("from the host\n")
    (host / "single").write_text("one file\n")
    box = make("--engine", engine, "--mount", f"{host}:/src", "--mount", f"{host}/single:/etc/one:ro")
    assert box.sh("cat /src/theirs /etc/one") == "from the host\none file\n"
    box.sh("mkdir /src/made && echo 'from the guest' > /src/made/file && chmod 600 /src/made/file")
    assert (host / "made/file").read_text() == "from the guest\n"
    assert (host / "made/file").stat().st_mode & 0o777 == 0o600
    (host / "theirs").write_text("again, and longer\n")
    time.sleep(1.1)  # how long the guest may believe what it knows: docs/mounts.md
    assert box.sh("cat /src/theirs") == "again, and longer\n"
    assert box.exec("sh", "-c", "echo x > /etc/one", check=False).returncode != 0
    assert (host / "single").read_text() == "one file\n"


def test_read_only_is_read_only_for_root_in_the_guest(make, host):
    (host / "file").write_text("kept\n")
    box = make("-v", f"{host}:/src:ro")
    for attempt in ("echo x > /src/file", "rm /src/file", "mkdir /src/d", "mv /src/file /src/g",
                    "chmod 777 /src/file", "touch /src/file", "ln -s x /src/link",
                    "mount -o remount,rw /src && echo x > /src/file",
                    "mkdir -p /m && mount -t virtiofs msb /m && echo x > /m/0/file",
                    "echo x > /m/0/new", "mv /m/0 /m/1"):
        result = box.exec("sh", "-c", attempt, check=False)
        assert result.returncode != 0, attempt
        assert b"Read-only" in result.stderr, (attempt, result.stderr)
    assert (host / "file").read_text() == "kept\n" and len(list(host.iterdir())) == 1


def test_a_writable_mount_gives_no_right_to_a_read_only_one(make, host):
    (host / "rw").mkdir()
    (host / "ro").mkdir()
    (host / "ro/file").write_text("kept\n")
    box = make("-v", f"{host}/rw:/rw", "-v", f"{host}/ro:/ro:ro")
    box.sh("mkdir /m && mount -t virtiofs msb /m")
    assert box.exec("sh", "-c", "ln /m/1/file /m/0/file", check=False).returncode != 0
    assert box.exec("sh", "-c", "mv /m/1/file /m/0/file", check=False).returncode != 0
    assert box.exec("ls", "/m/2", check=False).returncode != 0
    box.sh("cp /m/1/file /m/0/copy && echo changed > /m/0/copy")
    assert (host / "ro/file").read_text() == "kept\n"


def test_there_may_be_many_in_each_other(make, host):
    words = []
    for i in range(20):
        (host / str(i)).mkdir()
        (host / str(i) / "number").write_text(f"{i}\n")
        words += ["-v", f"{host}/{i}:/m/{i}"]
    words += ["--tmpfs", "/m", "-v", f"{host}/7:/m/3/below"]
    box = make(*words)
    assert box.sh("cat /m/*/number").split() == sorted(map(str, range(20)), key=str)
    assert box.sh("cat /m/3/below/number") == "7\n"
    assert (host / "3/below").is_dir(), "the place of a mount inside another is made there"


def test_a_user_gives_away_no_right_it_has_not(daemon, host):
    (host / "shared").mkdir(mode=0o777)
    (host / "shared").chmod(0o777)
    (host / "mine").write_text("mine\n")
    os.chown(host / "mine", USER, GROUP)
    (host / "roots").write_text("secret\n")
    (host / "roots").chmod(0o600)
    name = as_user(daemon, "create", *IMAGE, "-v", f"{host}:/src").stdout.decode().strip()
    try:
        def sh(script):
            return as_user(daemon, "exec", name, "--", "sh", "-c", script, check=False)

        assert sh("stat -c %u:%g /src/mine /src/roots").stdout.split() == [b"0:0", b"65534:65534"]
        assert b"Permission denied" in sh("cat /src/roots").stderr
        assert b"Permission denied" in sh("echo x > /src/new").stderr
        assert b"not permitted" in sh("chmod 666 /src/roots").stderr
        assert b"not permitted" in sh("chown 1234 /src/mine").stderr
        sh("echo new > /src/shared/new; chmod 6755 /src/shared/new")
        info = (host / "shared/new").stat()
        assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (USER, GROUP, 0o755)
        # Who did not give the path is not shown it.
        assert as_user(daemon, "inspect", name).stdout.count(str(host).encode()) == 1
        assert str(host).encode() not in daemon.msbctl("inspect", name).stdout
        assert str(host).encode() not in daemon.msbctl("--format", "json", "ls", "-a").stdout
    finally:
        daemon.msbctl("rm", "-f", name)


def test_files_may_belong_to_another_user_in_the_guest(daemon, host):
    os.chown(host, USER, GROUP)
    name = as_user(daemon, "create", *IMAGE, "--mount",
                   f"{host}:/src:rw,uid=1000,gid=100").stdout.decode().strip()
    try:
        as_user(daemon, "exec", "-u", "1000:100", name, "--", "sh", "-c", "echo x > /src/file")
        assert (host / "file").stat().st_uid == USER
    finally:
        daemon.msbctl("rm", "-f", name)


def test_what_cannot_be_mounted_is_said_and_leaves_no_sandbox(daemon, host):
    before = daemon.names()
    os.mkfifo(host / "fifo")
    (host / "closed").mkdir(mode=0o700)
    (host / "closed/inner").mkdir()
    (host / "readable").write_text("x")
    (host / "file").write_text("x")
    missing = refusal(daemon, "-v", f"{host}/nowhere:/src")
    assert "MOUNT_SOURCE_INVALID" in missing and "mount on /src: No such file" in missing
    assert "neither a directory nor a regular file" in refusal(daemon, "-v", f"{host}/fifo:/src")
    assert "neither a directory" in refusal(daemon, "-v", "/dev/null:/src")
    for kernels in ("/proc", "/proc/sys", "/sys/kernel"):
        assert "belongs to the host's kernel" in refusal(daemon, "-v", f"{kernels}:/src")
    # A link is followed by the user's rights; one of /proc is a door of another process.
    assert "symbolic links" in refusal(daemon, "-v", "/proc/self/root:/src")
    user = {"user": USER, "group": GROUP, "extra_groups": [], "cwd": "/"}
    assert "Permission denied" in refusal(daemon, "-v", f"{host}/closed/inner:/src", **user)
    assert "Permission denied" in refusal(daemon, "-v", f"{host}/readable:/etc/x", **user)
    assert "would hide" in refusal(daemon, "-v", f"{host}:/a", "-v", f"{host}:/a/")
    assert "PATH_INVALID" in refusal(daemon, "-v", f"{host}:/proc")
    assert "is no SOURCE:PATH" in refusal(daemon, "-v", f"{host}")
    # What only the guest knows comes with its start, and the sandbox is there to look at.
    assert daemon.names() == before
    late = refusal(daemon, "--name", "late", "-v", f"{host}/file:/usr")
    assert "is a directory, and what is mounted there a file" in late
    daemon.msbctl("rm", "-f", "late")


def test_nobody_mounts_the_host_where_the_configuration_says_so(new_daemon, host):
    daemon = new_daemon('[mounts]\nhost = "none"')
    assert "PERMISSION_DENIED" in refusal(daemon, "-v", f"{host}:/src")


def test_a_file_server_that_dies_is_told_and_nothing_hangs(daemon, make, host):
    (host / "file").write_text("there\n")
    box = make("-v", f"{host}:/src")
    reader = daemon.popen("exec", box.name, "--", "sh", "-c",
                          "exec 3< /src/file; echo open; read line; cat <&3 || exit 7",
                          stdin=subprocess.PIPE)
    assert reader.stdout.readline() == b"open\n"
    box.sh("cat /src/file")

    os.kill(server_of(daemon, box), signal.SIGKILL)

    began = time.monotonic()
    while companion_of(daemon, box)["state"] != "ended":
        assert time.monotonic() - began < 20
        time.sleep(0.1)
    end = companion_of(daemon, box)
    assert end["reason"] == "COMPANION_DIED" and "signal 9" in end["detail"]
    result = box.exec("sh", "-c", "ls /src; echo x > /src/new", check=False, timeout=60)
    assert result.returncode != 0 and b"not connected" in result.stderr
    assert time.monotonic() - began < 60
    reader.communicate(b"\n", timeout=60)
    assert box.sh("echo the sandbox lives") == "the sandbox lives\n"
    daemon.msbctl("restart", box.name)
    assert box.sh("cat /src/file") == "there\n"


def test_a_source_that_goes_away_takes_nothing_with_it(daemon, make, host):
    source = host / "source"
    source.mkdir()
    (source / "file").write_text("x")
    box = make("-v", f"{source}:/src")
    shutil.rmtree(source)
    assert b"nonexistent directory" in box.exec("sh", "-c", "echo x > /src/new", check=False).stderr
    assert box.sh("ls /src; echo alive") == "alive\n"
    daemon.msbctl("stop", box.name)
    failed = daemon.msbctl("start", box.name, check=False)
    assert failed.returncode != 0 and b"MOUNT_SOURCE_INVALID" in failed.stderr
    view = daemon.inspect(box.name)
    assert view["state"] == "failed" and view["reason"] == "MOUNT_SOURCE_INVALID"
    assert str(host) not in view["reason_detail"]
    source.mkdir()
    daemon.msbctl("start", box.name)
    assert box.sh("touch /src/again; ls /src") == "again\n"


def test_the_next_daemon_takes_the_mounts_up(new_daemon, host):
    daemon = new_daemon()
    box = Box(daemon, *IMAGE, "-v", f"{host}:/src")
    server = server_of(daemon, box)
    os.kill(daemon.pid, signal.SIGKILL)
    box_pid = pathlib.Path(f"/proc/{daemon.pid}")
    while box_pid.exists() and "Z" not in (box_pid / "stat").read_text():
        time.sleep(0.05)
    daemon.start()
    assert companion_of(daemon, box)["state"] == "running" and server_of(daemon, box) == server
    box.sh("echo adopted > /src/file")
    assert (host / "file").read_text() == "adopted\n"
    os.kill(server, signal.SIGKILL)
    while companion_of(daemon, box)["state"] != "ended":
        time.sleep(0.05)
    assert companion_of(daemon, box)["reason"] == "COMPANION_DIED"


def test_a_directory_volume_is_shared_and_kept(daemon, make):
    daemon.msbctl("volume", "create", "e2e-shared", "--kind", "directory")
    try:
        one, two = make("-v", "e2e-shared:/data"), make("-v", "e2e-shared:/data")
        one.sh("echo hello > /data/file && chown 1000:100 /data/file")
        assert two.sh("cat /data/file; stat -c %u:%g /data/file") == "hello\n1000:100\n"
        listed = daemon.json("volume", "inspect", "e2e-shared")
        assert listed["kind"] == "directory"
        assert sorted(listed["used_by"]) == sorted([one.name, two.name])
        in_use = daemon.msbctl("volume", "rm", "e2e-shared", check=False)
        assert b"VOLUME_IN_USE" in in_use.stderr
        one.remove()
        two.remove()
        assert make("-v", "e2e-shared:/data:ro").sh("cat /data/file") == "hello\n"
        sized = daemon.msbctl("volume", "create", "other", "--kind", "directory", "--size", "1G",
                              check=False)
        assert b"a directory has no size" in sized.stderr
    finally:
        for box in daemon.json("volume", "inspect", "e2e-shared").get("used_by", []):
            daemon.msbctl("rm", "-f", box)
        daemon.msbctl("volume", "rm", "e2e-shared")


def test_a_users_directory_volume_is_the_users(daemon):
    as_user(daemon, "volume", "create", "e2e-users", "--kind", "directory")
    name = as_user(daemon, "create", *IMAGE, "-v", "e2e-users:/data").stdout.decode().strip()
    try:
        assert as_user(daemon, "exec", name, "--", "sh", "-c",
                       "echo x > /data/file; stat -c %u /data/file").stdout == b"0\n"
        files = daemon.data / "state/volumes/e2e-users/files"
        assert (files / "file").stat().st_uid == USER
    finally:
        daemon.msbctl("rm", "-f", name)
        daemon.msbctl("volume", "rm", "e2e-users")


def silence(stream, seconds=1):
    """Reads what comes, until nothing does for a while."""
    while select.select([stream], [], [], seconds)[0]:
        assert os.read(stream.fileno(), 65536), "the command has ended"


@pytest.mark.skipif("qemu" not in ENGINES, reason="engine kvm stops its vCPUs alone")
def test_a_pause_waits_for_what_the_file_server_still_does(daemon, make, host):
    box = make("--engine", "qemu", "--mount", f"{host}:/src")
    server = server_of(daemon, box)
    writer = daemon.popen("exec", box.name, "--", "sh", "-c",
                          "while echo $((n += 1)) | tee /src/count; do :; done")
    assert os.read(writer.stdout.fileno(), 1)
    os.kill(server, signal.SIGSTOP)
    silence(writer.stdout)  # a request is out
    pause = daemon.popen("pause", box.name)
    with pytest.raises(subprocess.TimeoutExpired):
        pause.wait(0.5)
    os.kill(server, signal.SIGCONT)
    assert pause.wait(30) == 0, pause.stderr.read()
    daemon.msbctl("resume", box.name)
    assert os.read(writer.stdout.fileno(), 1), "the command went on"
    writer.kill()
    writer.wait()
    assert daemon.state(box.name) == "running"


def test_a_tree_may_have_more_files_than_there_are_descriptors(new_daemon, host):
    """Of 2,000 it has no 1,500 for these 4,000; where the jailer may raise that, they all fit."""
    folders, files = 40, 100
    for number in range(folders * files):
        folder = host / str(number // files)
        folder.mkdir(exist_ok=True)
        (folder / str(number)).write_text(f"{number}\n")
    daemon = new_daemon(enter=("prlimit", "--nofile=2000:2000"))
    box = Box(daemon, *IMAGE, "--memory", "256", "-v", f"{host}:/tree")
    everything = "cd /tree && find . -type f -exec cat {} + | sort -n | uniq | md5sum"
    wanted = subprocess.run(everything.replace("/tree", str(host)), shell=True, check=True,
                            capture_output=True).stdout.decode()
    for _ in range(2):
        assert box.sh(everything) == wanted
    # A command's open file, its directory and a file that loses its name are what they were.
    kept = box.sh(f"""cd /tree/0; exec 3<1; rm 1; mv 2 ../1/moved; mv ../2 ../renamed; mkfifo pipe
                      find /tree -type f -exec md5sum {{}} + > /dev/null
                      stat -c %h /proc/self/fd/3 -L; cat <&3; cat ../1/moved; cat ../renamed/200; pwd
                      rm pipe; ls | wc -l""")
    assert kept.split() == ["0", "1", "2", "200", "/tree/0", "98"]
    for number in range(files):  # replaced by the host: another file of the same name
        path = host / "3" / str(3 * files + number)
        path.unlink()
        path.write_text("new\n")
    time.sleep(1.1)  # for how long names are believed
    assert box.sh("cat /tree/3/* | sort -u") == "new\n"
    assert companion_of(daemon, box)["state"] == "running"
    box.remove()


def test_what_a_guest_reads_is_its_own_memory(new_daemon, host):
    """It is msb-fs that puts it there, and a page counts for whoever touches it first."""
    with open(host / "large", "wb") as file:
        file.truncate(300 << 20)
    daemon = new_daemon("[mounts]\nmemory_mib = 48")
    box = Box(daemon, *IMAGE, "--memory", "512", "-v", f"{host}:/src")
    assert box.sh("cat /src/large | wc -c", timeout=120) == f"{300 << 20}\n"
    assert int(box.sh("awk '$1 == \"Cached:\" { print $2 }' /proc/meminfo")) > 250 << 10
    assert companion_of(daemon, box)["state"] == "running"
    box.remove()
