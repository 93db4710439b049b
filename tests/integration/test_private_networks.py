# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Private networks of machines, through the daemon."""
import os
import signal

import pytest

from conftest import ENGINE, ENGINES, Box

# Of both versions; says by which address it knows who connects.
SERVE = ("import socket\n"
         "s=socket.create_server(('::',8000),family=socket.AF_INET6,dualstack_ipv6=True)\n"
         "print('up',flush=True)\n"
         "while True:\n c,a=s.accept();c.sendall(a[0].removeprefix('::ffff:').encode());c.close()")
FETCH = ("import socket,sys;s=socket.create_connection((sys.argv[1],8000),10);"
         "print(s.recv(100).decode(),end='')")


@pytest.fixture(name="network")
def network_fixture(daemon):
    daemon.msbctl("network", "create", "team")
    yield "team"
    daemon.msbctl("network", "rm", "team")


@pytest.fixture
def make(daemon):
    made = []

    def create(*options, engine=ENGINE):
        made.append(Box(daemon, "--engine", engine, "--network", "none", *options))
        return made[-1]

    yield create
    for box in made:
        box.remove()


def fetch(box, host):
    return box.exec("python3", "-c", FETCH, host, check=False)


def serve(box):
    """Until the sandbox goes. Python takes its time on an emulated ring 0."""
    server = box.daemon.popen("exec", box.name, "--", "python3", "-c", SERVE)
    assert server.stdout.readline() == b"up\n"
    return server


@pytest.mark.parametrize("engine", ENGINES)
def test_members_reach_each_other_and_nobody_else(network, make, daemon, engine):
    server = make("--name", "server", "--join", network, engine=engine)
    client = make("--join", network)
    outsider = make("--allow", "any")
    serve(server)
    addresses = [client.output("getent", version, "server.team.internal").split()[0]
                 for version in ("ahostsv4", "ahostsv6")]
    answers = [fetch(client, address) for address in addresses]
    assert answers[0].stdout.startswith(b"198.19."), answers
    assert answers[1].stdout.startswith(b"fd6d:7362:1::"), answers
    assert fetch(client, "server").stdout in [answer.stdout for answer in answers]
    for host in ("server", *addresses):
        assert fetch(outsider, host).returncode != 0
    listed = daemon.json("network", "ls")
    assert listed["name"] == "team" and len(listed["sandboxes"]) == 2
    daemon.msbctl("net", "policy", client.name, "--network", "none", "--deny", "@members")
    assert b"ConnectionRefusedError" in fetch(client, "server").stderr
    in_use = daemon.msbctl("network", "rm", "team", check=False)
    assert in_use.returncode != 0 and b"PRIVATE_NETWORK_IN_USE" in in_use.stderr


def test_a_member_that_restarts_is_met_again(network, make, daemon):
    server = make("--name", "server", "--join", network)
    client = make("--join", network)
    serve(server)
    assert fetch(client, "server").returncode == 0
    daemon.msbctl("net", "restart", client.name)
    client.sh("until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do :; done", timeout=30)
    assert fetch(client, "server").returncode == 0
    os.kill(server.companion("net"), signal.SIGKILL)
    client.sh("until ! getent hosts server.team.internal; do :; done", timeout=30)
    daemon.msbctl("net", "restart", "server")
    server.sh("until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do :; done", timeout=30)
    assert fetch(client, "server").returncode == 0
    daemon.msbctl("restart", "--force", "server")
    serve(server)
    assert fetch(client, "server").returncode == 0


def test_a_network_survives_the_daemon_and_has_to_exist(network, make, daemon):
    refused = daemon.msbctl("create", "--join", "nowhere", check=False)
    assert b"msbctl network create nowhere" in refused.stderr
    taken = daemon.msbctl("network", "create", "team", check=False)
    assert b"PRIVATE_NETWORK_NAME_TAKEN" in taken.stderr
    server, client = make("--name", "server", "--join", network), make("--join", network)
    serve(server)
    daemon.stop()
    daemon.start()
    assert fetch(client, "server").returncode == 0
    assert daemon.json("network", "ls")["name"] == "team"
    # Who comes later meets those who were there.
    late = make("--join", network)
    assert fetch(late, "server").returncode == 0
