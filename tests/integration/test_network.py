# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""The network of a machine, through the daemon: from the command line to a packet."""
import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from conftest import ENGINE, Box

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), "support", "network"))
from npm_registry import Registry  # noqa: E402

HELLO = b"hello from the host\n"


class Hello:
    """A server on the host's loopback."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            # A frame that waited for the link may open a connection that nobody wants any more.
            with connection, contextlib.suppress(OSError):
                connection.sendall(HELLO)


@pytest.fixture(scope="module")
def hello():
    server = Hello()
    yield server
    server.listener.close()


@pytest.fixture
def make(daemon):
    made = []

    def create(*options):
        made.append(Box(daemon, "--engine", ENGINE, *options))
        return made[-1]

    yield create
    for box in made:
        box.remove()


def fetch(box, port, address="192.0.0.1"):
    return box.exec("python3", "-c",
                    "import socket,sys;s=socket.create_connection((sys.argv[1],int(sys.argv[2])),10);"
                    "print(s.recv(100).decode(),end='')", address, str(port), check=False, timeout=60)


def test_a_guest_has_addresses_routes_and_a_name_server(make):
    box = make()
    assert box.sh("cat /sys/class/net/eth0/carrier /sys/class/net/eth0/mtu").split() == ["1", "65520"]
    assert "nameserver 192.0.0.1" in box.sh("cat /etc/resolv.conf")
    routes = box.sh("cat /proc/net/route /proc/net/ipv6_route")
    assert "eth0\t00000000\t010000C0" in routes
    assert "fd6d7362000000000000000000000001" in routes


def test_without_anything_to_reach_there_is_no_card(make, daemon):
    box = make("--network", "none")
    assert box.sh("ls /sys/class/net").split() == ["lo"]
    refused = daemon.msbctl("net", "policy", box.name, "--network", "all", check=False)
    assert refused.returncode != 0


def test_the_host_is_reached_when_a_rule_says_so_and_refused_at_once_when_not(make, daemon, hello):
    box = make()
    assert b"ConnectionRefusedError" in fetch(box, hello.port).stderr  # what hangs is a TimeoutError
    daemon.msbctl("net", "policy", box.name, "--allow", f"@host:{hello.port}")
    assert fetch(box, hello.port).stdout == HELLO
    shown = daemon.json("net", "policy", box.name)
    assert shown["network"]["rules"][0]["text"] == f"allow out @host {hello.port}"
    assert shown["counters"][0]["flows"] == 1


def test_a_port_reaches_the_guest_and_is_kept(make, daemon):
    box = make("-p", "0:8000")
    box.exec("python3", "-m", "http.server", "8000", options=["-d"])
    shown = daemon.msbctl("port", box.name).stdout.decode()
    port = int(shown.split(" ->")[0].rsplit(":", 1)[1])
    deadline = time.monotonic() + 150
    while True:  # until the server listens: Python's start, emulated on a busy host
        done = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{port}/"], capture_output=True,
                              timeout=30, check=False)
        if done.returncode == 0 or time.monotonic() > deadline:
            break
    assert b"Directory listing" in done.stdout, done
    added = daemon.msbctl("port", box.name, "--add", "127.0.0.1:0:8000").stdout.decode()
    assert added.startswith("127.0.0.1:")
    other = added.split(" ->")[0]
    assert b"Directory" in subprocess.run(["curl", "-sS", f"http://{other}/"], capture_output=True,
                                          timeout=30, check=True).stdout
    daemon.msbctl("port", box.name, "--remove", f"{other}:8000")
    assert subprocess.run(["curl", "-sS", f"http://{other}/"], capture_output=True,
                          timeout=30, check=False).returncode != 0


ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 9000))
open("/tmp/listens", "w")
while True:
    data, peer = server.recvfrom(100)
    server.sendto(b"back: " + data, peer)
"""


def test_a_port_of_udp_is_bound_to_the_address_that_is_asked_for(make, daemon):
    box = make("-p", "127.0.0.2:0:9000/udp")
    box.exec("python3", "-c", ECHO, options=["-d"])
    box.sh("until [ -e /tmp/listens ]; do sleep 0.1; done", timeout=150)
    shown = daemon.msbctl("port", box.name).stdout.decode()
    address, port = shown.split(" ->")[0].rsplit(":", 1)
    assert address == "127.0.0.2"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.sendto(b"ping", (address, int(port)))
        assert client.recv(100) == b"back: ping"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", int(port)))  # is free


def test_what_happens_is_told_as_it_happens(make, daemon, hello):
    box = make()
    log = daemon.popen("--format", "json", "net", "log", "-f", box.name)
    # The watch stands when its first event comes: connections until then.
    lines = []
    reader = threading.Thread(target=lambda: lines.append(log.stdout.readline()))
    reader.start()
    while reader.is_alive():
        fetch(box, hello.port)
        reader.join(0.2)
    log.kill()
    event = json.loads(lines[0])
    assert event["kind"] == "denied"
    assert event["destination"] == f"192.0.0.1:{hello.port}"
    assert event["rule"] == "public"


def test_a_dead_msb_net_is_a_dead_link_and_nothing_more(make, daemon, hello):
    box = make("--network", "all")
    assert fetch(box, hello.port).stdout == HELLO
    os.kill(box.companion("net"), signal.SIGKILL)
    box.sh("until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do :; done", timeout=30)
    assert daemon.state(box.name) == "running"
    began = time.monotonic()
    while (end := daemon.inspect(box.name)["companions"][0])["state"] != "ended":
        assert time.monotonic() - began < 20
        time.sleep(0.1)
    assert (end["name"], end["reason"]) == ("net", "COMPANION_DIED") and "signal 9" in end["detail"]
    assert fetch(box, hello.port).returncode != 0
    daemon.msbctl("net", "restart", box.name)
    box.sh("until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do :; done", timeout=30)
    assert fetch(box, hello.port).stdout == HELLO


def test_refuses_rules_that_nobody_understands(daemon):
    done = daemon.msbctl("create", "--allow", "perhaps", "--deny", "@nobody", check=False)
    assert done.returncode != 0
    assert b"there is no group @nobody" in done.stderr


def debian_archive(directory):
    """A flat archive with one package, that says hello."""
    tree = directory / "greeting-deb"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@b>\n"
        "Description: says hello\n")
    (tree / "usr/bin").mkdir(parents=True)
    program = tree / "usr/bin/greeting"
    program.write_text("#!/bin/sh\necho hello from a package\n")
    program.chmod(0o755)
    for folder in [tree, *filter(os.path.isdir, tree.rglob("*"))]:
        folder.chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, directory / "greeting.deb"],
                   check=True, capture_output=True)
    package = (directory / "greeting.deb").read_bytes()
    packages = ((tree / "DEBIAN/control").read_text() + "Filename: ./greeting.deb\n"
                f"Size: {len(package)}\nSHA256: {hashlib.sha256(package).hexdigest()}\n").encode()
    (directory / "Packages").write_bytes(packages)
    (directory / "Release").write_text(
        f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S UTC', time.gmtime())}\nSHA256:\n"
        f" {hashlib.sha256(packages).hexdigest()} {len(packages)} Packages\n")


@pytest.fixture
def site(tmp_path):
    """A web server on the host's loopback with a Python package, a git repository, and a Debian one."""
    debian_archive(tmp_path)
    wheel = tmp_path / "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("greeting.py", "print('hello from a wheel')\n")
        archive.writestr("greeting-1.0.dist-info/METADATA",
                         "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        archive.writestr("greeting-1.0.dist-info/WHEEL",
                         "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("greeting-1.0.dist-info/RECORD", "")
    work = tmp_path / "work"
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q", work],
                    ["-C", work, *author, "commit", "-q", "--allow-empty", "-m", "one"],
                    ["clone", "-q", "--bare", work, tmp_path / "repo.git"],
                    ["-C", tmp_path / "repo.git", "update-server-info"]):
        subprocess.run(["git", *map(str, command)], check=True, capture_output=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_pip_and_git_fetch_from_where_a_rule_lets_them(make, site):
    box = make("--network", "none", "--allow", f"tcp @host:{site}")
    url = f"http://192.0.0.1:{site}"
    box.sh(f"pip install -q --break-system-packages --no-index --trusted-host 192.0.0.1 "
           f"--find-links {url}/ greeting", timeout=120)
    assert box.output("python3", "-c", "import greeting") == "hello from a wheel\n"
    box.sh(f"git clone -q {url}/repo.git /tmp/repo", timeout=120)
    assert box.sh("git -C /tmp/repo log --format=%s") == "one\n"


def test_apt_updates_and_installs(make, site):
    box = make("--network", "none", "--allow", f"tcp @host:{site}")
    box.sh("rm -f /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] "
           f"http://192.0.0.1:{site}/ ./' > /etc/apt/sources.list")
    box.sh("apt-get update && apt-get install -y greeting", timeout=180)
    assert box.output("greeting") == "hello from a package\n"


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this host")
def test_npm_installs_from_where_a_rule_lets_it(make):
    """The host's own npm, in a machine that has the host's /usr as its own."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    box = make("--memory", "1024", "-v", "/usr:/usr:ro", "--network", "none",
               "--allow", f"tcp @host:{server.server_address[1]}")
    box.sh("npm --no-audit --no-fund --fetch-retries=0 --prefix /tmp/project "
           f"--registry=http://192.0.0.1:{server.server_address[1]}/ install greeting", timeout=300)
    assert box.output("node", "/tmp/project/node_modules/greeting") == "hello from npm\n"
    server.shutdown()
    server.server_close()
