# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""msb-net and msb-secrets where descriptors run out, whoever uses them up: they are bounded, and the
daemon is heard. The guest is a network namespace (test_network_policy.py says why)."""
import contextlib
import os
import resource
import socket
import subprocess
import sys

import pytest

from conftest import BUILD

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), "support", "network"))
from control_program import seconds_of_cpu, translate  # noqa: E402
from namespace_guest import NamespaceGuest  # noqa: E402
from secret_world import SecretWorld  # noqa: E402
from secrets_process import SecretsProcess  # noqa: E402
from world import WEB  # noqa: E402

NET, SECRETS = str(BUILD / "network/msb-net"), str(BUILD / "network/msb-secrets")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = SecretWorld(tmp_path_factory.mktemp("limits"), NET)
    world.inside(world.host, "sh", "-c",
                 "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range")
    yield world
    world.close()


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


# Echo requests with COUNT ids to a host, then one to the gateway, whose answer ends it.
ECHO = r"""
import socket, struct, sys
target, count = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: no answer is lost here
def echo(id):
    body = b"from the guest"
    packet = struct.pack(">BBHHH", 8, 0, 0, id, 1) + body
    total = sum(struct.unpack(f">{len(packet) // 2}H", packet))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return packet[:2] + struct.pack(">H", ~total & 0xffff) + packet[4:]
for id in range(1, count + 1):
    s.sendto(echo(id), (target, 0))
s.sendto(echo(60000), ("192.0.0.1", 0))
s.settimeout(20)
answered = set()
while 60000 not in answered:
    data, peer = s.recvfrom(65536)
    kind, _, _, id = struct.unpack(">BBHH", data[20:26])
    if kind == 0: answered.add(id)
print(len(answered))
"""


def test_echo_ids_are_flows_like_others(world):
    with world.guest("public", limits="max_flows: 64") as guest:
        guest.run(sys.executable, "-c", ECHO, WEB, 400, check=True)
        assert descriptors(guest.process) < 64 + 40
        client, wait = guest.watch()
        with client:
            guest.run(sys.executable, "-c", ECHO, WEB, 401, check=True)
            assert "icmp" in wait("KIND_FAILED", "too many flows")
    with world.guest("public") as guest:
        assert int(guest.run(sys.executable, "-c", ECHO, WEB, 3, check=True).stdout) >= 1


def test_a_guest_at_a_low_limit_of_descriptors_leaves_some_for_the_daemon(world):
    limits = "max_lookups: 8 max_dns_connections: 8 max_members: 8"
    enter = [*world.enter(world.host), "prlimit", "--nofile=400:400"]
    with NamespaceGuest(NET, enter=enter, policy="public", limits=limits) as guest:
        guest.run(sys.executable, "-c", ECHO, WEB, 1000, check=True)
        assert "status" in guest.request("id: 1 status {}")


@contextlib.contextmanager
def without_descriptors(process):
    """It can open none, whatever it closes."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))
    yield
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))


def expect_idle_until_heard(program, request):
    with without_descriptors(program.process):
        client = program.send(request)
        client.settimeout(2)
        before = seconds_of_cpu(program.process)
        with pytest.raises(TimeoutError):
            client.recv(4)
        assert seconds_of_cpu(program.process) - before < 0.5
    with client:
        client.settimeout(20)
        assert len(client.recv(4)) == 4


def test_a_daemon_that_finds_no_descriptor_waits_and_is_heard_then(world):
    with world.guest("public") as guest:
        expect_idle_until_heard(guest, "id: 1 status {}")
    with SecretsProcess(SECRETS, world.directory / "ca.crt", []) as secrets:
        expect_idle_until_heard(secrets, "certificate {}")


SLOW_SINK = r"""
import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)  # little waits there
s.bind(("127.0.0.1", 9200)); s.listen(); print("up", flush=True); c = s.accept()[0]
total = 0
while data := c.recv(1 << 16):
    total += len(data); time.sleep(0.001)
print(total)
"""


def most_memory(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) << 10


def test_an_upload_to_a_slow_host_takes_no_more_memory_than_its_window(world):
    total = 48 << 20
    # As small as a socket to a neighbour is: with a large one nothing waits for long.
    world.inside(world.host, "sysctl", "-qw", "net.ipv4.tcp_wmem=4096 16384 131072")
    sink = world.start_program(world.host, SLOW_SINK)
    with world.guest("all") as guest:
        before = most_memory(guest.process)
        guest.run(sys.executable, "-c", "import socket;s=socket.create_connection(('192.0.0.1',9200))\n"
                  f"for _ in range({total >> 20}): s.sendall(bytes(1<<20))", check=True)
        assert sink.communicate(timeout=60)[0] == b"%d\n" % total
        assert most_memory(guest.process) - before < 16 << 20


SEND_OR_TAKE = r"""
import socket, sys
s = socket.create_server(("127.0.0.1", 9300)); print("up", flush=True); c = s.accept()[0]
if sys.argv[1] == "send": c.sendall(bytes(3 << 20)); c.close()
else:
    while c.recv(1 << 16): pass
    c.close()
"""


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_rate_of_bytes_holds(world, way):
    take, send = "\nwhile s.recv(1<<16): pass", "\ns.sendall(bytes(3<<20));s.shutdown(1);s.recv(1)"
    code = ("import socket,time;s=socket.create_connection(('192.0.0.1',9300));b=time.monotonic()"
            + (send if way == "up" else take) + "\nprint(time.monotonic()-b)")
    host = world.start_program(world.host, SEND_OR_TAKE, "send" if way == "down" else "take")
    with world.guest("all", limits=f"bytes_per_second_{way}: {1 << 20}") as guest:
        seconds = float(guest.run(sys.executable, "-c", code, check=True).stdout)
    assert host.wait(timeout=20) == 0
    # Three seconds' worth, of which a tenth comes at once.
    assert 2.2 < seconds < 15


def test_a_rate_of_packets_holds(world):
    code = ("import socket,time;s=socket.socket(type=2);s.settimeout(20);s.connect(('%s',7))\n"
            "b=time.monotonic()\nfor _ in range(150): s.send(b'x');s.recv(9)\n"
            "print(time.monotonic()-b)" % WEB)
    with world.guest("public", limits="packets_per_second: 50") as guest:
        assert 2.2 < float(guest.run(sys.executable, "-c", code, check=True).stdout) < 15


def test_flows_that_are_idle_expire(world):
    hold = ("import socket\nu=socket.socket(type=2);u.settimeout(5);u.connect(('%s',7));u.send(b'x')\n"
            "u.recv(9);s=socket.create_connection(('%s',25));s.recv(99);print('up',flush=True)\n"
            "try: s.recv(1)\nexcept ConnectionResetError: print('reset')" % (WEB, WEB))
    with world.guest("public", limits="tcp_idle_seconds: 1 udp_idle_seconds: 1") as guest:
        client, wait = guest.watch()
        with client:
            holder = guest.popen(sys.executable, "-c", hold, stdout=subprocess.PIPE)
            assert holder.stdout.readline() == b"up\n"
            ended = [wait("KIND_FLOW_CLOSED") for _ in range(2)]
            assert sum("idle for too long" in event for event in ended if "tcp" in event) == 1
            assert sum("bytes_down: 1" in event for event in ended if "udp" in event) == 1
        assert holder.communicate(timeout=20)[0] == b"reset\n"
        status = guest.request("id: 1 status {}")
        assert "tcp_flows" not in status and "udp_flows" not in status


def test_notices_that_find_no_room_are_counted_and_told_later(world):
    """The other end of the channel in the test's hands, which does not read as fast as it hands over."""
    packet = translate("--encode", "HandOver", b'flow: 1 name: "nobody.org" port: 443', "secrets")
    count = 3000
    with SecretsProcess(SECRETS, world.directory / "ca.crt", []) as secrets:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                secrets.ask("connect {}", theirs.fileno())
            ours.settimeout(20)
            one, other = socket.socketpair()
            with one, other:
                for _ in range(count):
                    socket.send_fds(ours, [packet], [one.fileno(), other.fileno()])
            told = lost = 0
            while told + lost < count:
                notice = translate("--decode", "SecretNotice", ours.recv(2000), "secrets").decode()
                told += "KIND_FAILED" in notice
                lost += sum(int(line.split()[1]) for line in notice.splitlines() if "lost:" in line)
            assert lost > 0 and told + lost == count
