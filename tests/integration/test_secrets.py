# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets of a machine, through the daemon: the guest uses a value that neither it nor any file has."""
import base64
import json
import os
import pathlib
import signal
import sys

import pytest

from conftest import BUILD, ENGINE, ENGINES, Box, Daemon

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), "support", "network"))
from secret_servers import GIT_PASSWORD  # noqa: E402
from secret_world import API, SecretWorld  # noqa: E402
from world import DNS, WEB  # noqa: E402

VALUE, SECOND = "sk-live-of-the-daemon-0123456789", "another-value-9876543210"
HOST = f"{API}:8443"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = SecretWorld(tmp_path_factory.mktemp("secrets"), str(BUILD / "network/msb-net"))
    yield world
    world.close()


@pytest.fixture(scope="module")
def daemon(world):
    """In the namespace that has the servers' addresses, with a resolver that knows their names."""
    resolver = world.directory / "resolv.conf"
    resolver.write_text(f"nameserver {DNS}\n")
    enter = [*world.enter(world.host), "unshare", "-m", "sh", "-c",
             f'mount --bind {resolver} /etc/resolv.conf && exec "$@"', "sh"]
    daemon = Daemon(f'[network]\nca_store = "{world.directory}/ca.crt"\n', enter=enter)
    os.chmod(world.directory / "ca.crt", 0o600)  # it is the daemon that opens it
    yield daemon
    daemon.close()


class SecretBox(Box):
    def __init__(self, daemon, *options, value=VALUE):
        daemon.environment["THE_TOKEN"] = value
        super().__init__(daemon, "--secret", f"TOKEN=env:THE_TOKEN@{HOST}", *options)
        del daemon.environment["THE_TOKEN"]

    def told(self, *arguments):
        """What the server got of a request with the token."""
        out = self.sh(f'curl -sS -H "Authorization: Bearer $TOKEN" https://{HOST}/ '
                      + " ".join(arguments), timeout=300)
        headers = dict(json.loads(base64.b64decode(out))["headers"])
        return headers["Authorization"]


@pytest.fixture
def make(daemon):
    made = []

    def create(*options, engine=ENGINE, **keywords):
        made.append(SecretBox(daemon, "--engine", engine, *options, **keywords))
        return made[-1]

    yield create
    for box in made:
        box.remove()


def traces(daemon, value):
    """Where the value is: files of the daemon's, what /proc says of every process, its answers."""
    found = []
    for top in (daemon.base, daemon.data):
        for path in pathlib.Path(top).rglob("*"):
            if path.is_file() and value.encode() in path.read_bytes():
                found.append(str(path))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    if value.encode() in file.read() and int(pid) != os.getpid():
                        found.append(f"/proc/{pid}/{name}")
            except OSError:
                continue
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_guest_uses_a_value_that_it_does_not_have(make, daemon, engine):
    box = make(engine=engine)
    shown = box.sh("echo $TOKEN").strip()
    assert shown.startswith("msbsecret_") and len(shown) == 42
    assert box.told() == f"Bearer {VALUE}"
    assert VALUE not in box.sh("env; cat /proc/*/environ; cat /etc/microsandbox/ca.pem")


def test_no_file_process_or_answer_has_it(make, daemon):
    box = make()
    log = daemon.popen("--format", "json", "net", "log", "-f", box.name)
    assert box.told() == f"Bearer {VALUE}"
    while b"secret_used" not in (line := log.stdout.readline()):
        assert line
        box.told()
    log.kill()
    event = json.loads(line)
    assert event["secret"] == "TOKEN" and event["name"] == API
    shown = daemon.inspect(box.name)
    assert VALUE not in json.dumps(shown) and "value" not in shown["spec"]["secrets"][0]
    assert not traces(daemon, VALUE)
    listed = daemon.json("secret", "ls", box.name)
    assert listed["name"] == "TOKEN" and listed["hosts"] == [HOST] and "value" not in listed
    # A message about a wrong one neither.
    daemon.environment["BAD"] = VALUE + "\nand more"
    refused = daemon.msbctl("create", "--secret", f"BAD@{HOST}", check=False)
    del daemon.environment["BAD"]
    assert refused.returncode != 0 and b"SECRET_INVALID" in refused.stderr
    assert VALUE.encode() not in refused.stderr
    assert not traces(daemon, VALUE)


def test_python_and_git_need_no_setting(make, daemon, world):
    password = world.directory / "git-password"
    password.write_text(GIT_PASSWORD + "\n")
    box = make("--secret", f"GIT=file:{password}@{HOST}")
    code = (f"import json,base64,os,urllib.request as u;"
            f"r=u.Request('https://{HOST}/',headers={{'X':os.environ['TOKEN']}});"
            f"print(dict(json.loads(base64.b64decode(u.urlopen(r).read()))['headers'])['X'])")
    assert box.output("python3", "-c", code).strip() == VALUE
    box.sh(f"git clone -q https://user:$GIT@{HOST}/repository /tmp/clone", timeout=120)
    assert box.sh("cat /tmp/clone/file") == "of the repository\n"
    assert "ca-certificates.crt" in box.sh("echo $REQUESTS_CA_BUNDLE")
    assert box.sh("echo $NODE_EXTRA_CA_CERTS").strip() == "/etc/microsandbox/ca.pem"


def test_values_change_and_go_at_once(make, daemon):
    box = make()
    placeholder = box.sh("echo $TOKEN")
    daemon.msbctl("secret", "set", box.name, "TOKEN=-", input=SECOND.encode() + b"\n")
    assert box.told() == f"Bearer {SECOND}"
    assert box.sh("echo $TOKEN") == placeholder
    daemon.msbctl("secret", "set", box.name, f"MORE=-@{HOST}", input=VALUE.encode())
    assert VALUE in str(base64.b64decode(box.sh(f'curl -sS -H "X: $MORE" https://{HOST}/')))
    daemon.msbctl("secret", "rm", box.name, "MORE")
    assert box.sh("echo $MORE") == "\n"
    assert box.told() == f"Bearer {SECOND}"


def test_a_new_daemon_has_no_values_and_says_so(make, daemon):
    box = make()
    daemon.stop()
    daemon.start()
    assert box.told() == f"Bearer {VALUE}"  # what runs has them
    daemon.msbctl("stop", "--force", box.name)
    refused = daemon.msbctl("start", box.name, check=False)
    assert refused.returncode != 0
    assert b"SECRET_VALUE_MISSING" in refused.stderr and b"msbctl start" in refused.stderr
    daemon.environment["AGAIN"] = VALUE
    daemon.msbctl("start", box.name, "--secret", "TOKEN=env:AGAIN")
    del daemon.environment["AGAIN"]
    assert box.told() == f"Bearer {VALUE}"
    # This daemon knows it now.
    daemon.msbctl("restart", "--force", box.name)
    assert box.told() == f"Bearer {VALUE}"


@pytest.mark.parametrize("companion", ["secret", "net"])
def test_what_dies_is_brought_back(make, daemon, companion):
    box = make()
    assert box.told() == f"Bearer {VALUE}"
    os.kill(box.companion(companion), signal.SIGKILL)
    box.sh(f"until ! curl -sS --max-time 5 https://{HOST}/; do :; done", timeout=60)
    assert daemon.state(box.name) == "running"
    daemon.msbctl("net", "restart", box.name)
    box.sh("until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do :; done", timeout=30)
    assert box.told() == f"Bearer {VALUE}"


def test_values_lost_with_both_processes_are_given_again(make, daemon):
    box = make()
    daemon.stop()
    daemon.start()
    daemon.environment["AGAIN"] = VALUE
    again = ("start", box.name, "--secret", "TOKEN=env:AGAIN")
    unwanted = daemon.msbctl(*again, check=False)
    assert b"msbctl secret set" in unwanted.stderr
    os.kill(box.companion("secret"), signal.SIGKILL)
    while all(one["state"] == "running" for one in daemon.inspect(box.name)["companions"]):
        pass
    refused = daemon.msbctl("net", "restart", box.name, check=False)
    assert b"SECRET_VALUE_MISSING" in refused.stderr and b"then msbctl net restart" in refused.stderr
    daemon.msbctl(*again)
    del daemon.environment["AGAIN"]
    daemon.msbctl("net", "restart", box.name)
    box.sh("until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do :; done", timeout=30)
    assert box.told() == f"Bearer {VALUE}"


def test_what_a_user_mounts_is_no_trust_store_of_ours(make, daemon, tmp_path):
    bundle, anchors = tmp_path / "bundle.crt", tmp_path / "anchors"
    bundle.write_text("of the host\n")
    anchors.mkdir()
    box = make("--mount", f"{bundle}:/etc/ssl/certs/ca-certificates.crt",
               "-v", f"{anchors}:/usr/local/share/ca-certificates")
    with_ours = "--cacert /etc/microsandbox/ca.pem"
    assert box.told(with_ours) == f"Bearer {VALUE}"
    before = box.sh("cat /etc/microsandbox/ca.pem")
    os.kill(box.companion("secret"), signal.SIGKILL)
    while all(one["state"] == "running" for one in daemon.inspect(box.name)["companions"]):
        pass
    daemon.msbctl("net", "restart", box.name)
    box.sh("until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do :; done", timeout=30)
    assert box.sh("cat /etc/microsandbox/ca.pem") != before
    assert box.told(with_ours) == f"Bearer {VALUE}"
    assert bundle.read_text() == "of the host\n" and not list(anchors.iterdir())


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_store_that_is_none_is_named(daemon, world, content):
    store = world.directory / "ca.crt"
    hidden = store.rename(world.directory / "hidden.crt")
    if content is not None:
        store.write_text(content)
    daemon.environment["THE_TOKEN"] = VALUE
    refused = daemon.msbctl("run", "--engine", ENGINE, "--secret", f"TOKEN=env:THE_TOKEN@{HOST}", "--",
                            "true", check=False)
    del daemon.environment["THE_TOKEN"]
    hidden.rename(store)
    assert refused.returncode != 0
    assert b"[network] ca_store" in refused.stderr and b"CA_STORE_INVALID" in refused.stderr


def test_a_host_that_is_not_the_secrets_gets_the_placeholder(make, daemon):
    box = make("--network", "none", "--allow", f"{HOST}", "--allow", "example.com:80")
    assert box.told() == f"Bearer {VALUE}"
    denied = box.exec("curl", "-sS", "https://evil.org:8443/", check=False, timeout=60)
    assert denied.returncode != 0
    forged = box.exec("curl", "-sS", "-k", "--resolve", f"{HOST}:{WEB[:-1]}5", f"https://{HOST}/",
                      check=False, timeout=60)
    assert forged.returncode != 0


def test_the_processes_are_in_jails_and_behind_filters(make, daemon):
    box = make()
    secret, net = box.companion("secret"), box.companion("net")
    for pid in (secret, net):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status
        assert os.stat(f"/proc/{pid}/root/.").st_ino != os.stat("/").st_ino
    assert os.readlink(f"/proc/{secret}/ns/net") != os.readlink(f"/proc/{daemon.pid}/ns/net")
