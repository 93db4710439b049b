# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Private networks: members reach each other by name and address, as far as both policies let them,
and what a hostile member or a taken-over msb-net of one sends does its neighbours no harm. Guests are
network namespaces (test_network_policy.py says why)."""
import array
import json
import os
import random
import socket
import struct
import subprocess
import sys
import time

import pytest

from conftest import BUILD

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), "support", "network"))
from control_program import seconds_of_cpu, translate  # noqa: E402
from namespace_guest import NamespaceGuest  # noqa: E402

NET = str(BUILD / "network/msb-net")
ADDRESSES = {"a": ("198.19.0.1", "fd6d:7362:1::1"), "b": ("198.19.0.2", "fd6d:7362:1::2"),
             "c": ("198.19.0.3", "fd6d:7362:1::3")}
SERVER = r"""
import socket, sys, threading
kind, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6
if kind == "udp":
    s = socket.socket(family, socket.SOCK_DGRAM); s.bind(("::", port)); print("up", flush=True)
    while True:
        data, peer = s.recvfrom(65536); s.sendto(peer[0].encode() + b" " + data, peer)
s = socket.create_server(("::", port), family=family, dualstack_ipv6=True, backlog=1024)
print("up", flush=True)
def serve(c, peer):
    data = c.recv(65536)
    c.sendall(peer[0].removeprefix("::ffff:").encode() + b" " + data); c.close()
while True:
    threading.Thread(target=serve, args=s.accept(), daemon=True).start()
"""
CLIENT = r"""
import json, socket, sys, time
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
began = time.monotonic()
try:
    if kind == "udp":
        info = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        s = socket.socket(info[0], socket.SOCK_DGRAM); s.settimeout(3); s.connect(info[4])
        s.send(b"one")
        out = s.recv(65536)
    else:
        s = socket.create_connection((host, port), 10); s.sendall(b"one"); out = b""
        while part := s.recv(65536): out += part
    print(json.dumps({"ok": out.decode()}))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "seconds": time.monotonic() - began}))
"""


def introduce(one, other, packets=None):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for guest, known, end in ((one, other, ours), (other, one, theirs)):
            names = f'names: "{known.name}" names: "{known.name}.team.internal"'
            v4, v6 = ADDRESSES[known.name]
            assert "ok" in guest.request(
                f'id: 1 add_member {{ {names} address: "{v4}" address6: "{v6}" }}', end.fileno())


class Team:
    def __init__(self, policies, introduced=True):
        self.guests = {}
        self.servers = []
        for name, (preset, rules) in policies.items():
            guest = NamespaceGuest(NET, policy=preset, rules=rules,
                                   names=(name, f"{name}.team.internal"))
            guest.name = name
            self.guests[name] = guest
        listed = list(self.guests.values())
        for i, one in enumerate(listed if introduced else []):
            for other in listed[i + 1:]:
                introduce(one, other)

    def serve(self, name, kind, port):
        server = self.guests[name].popen(sys.executable, "-c", SERVER, kind, str(port),
                                         stdout=subprocess.PIPE)
        assert server.stdout.readline() == b"up\n"
        self.servers.append(server)

    def reach(self, name, kind, host, port):
        done = self.guests[name].run(sys.executable, "-c", CLIENT, kind, host, str(port))
        assert done.returncode == 0, done.stderr[-1000:]
        return json.loads(done.stdout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.kill()
            server.wait()
        for guest in self.guests.values():
            guest.close()


def test_members_reach_each_other_by_name_and_address():
    with Team({"a": ("none", []), "b": ("none", [])}) as team:
        team.serve("b", "tcp", 8000)
        team.serve("b", "udp", 8000)
        for host in ("b", "b.team.internal", *ADDRESSES["b"]):
            assert team.reach("a", "tcp", host, 8000)["ok"] in {
                f"{address} one" for address in ADDRESSES["a"]}
            assert "one" in team.reach("a", "udp", host, 8000)["ok"]
        assert team.reach("a", "tcp", ADDRESSES["b"][0], 8000)["ok"] == "198.19.0.1 one"
        # Itself, by its own name.
        assert team.reach("b", "tcp", "b", 8000)["ok"].endswith(" one")
        refused = team.reach("a", "tcp", "b", 8001)
        assert refused["error"] == "ConnectionRefusedError" and refused["seconds"] < 5
        assert team.reach("a", "tcp", "nobody.team.internal", 80)["error"] == "gaierror"


@pytest.mark.parametrize("side, rule, reached", [
    ("a", "deny @members", False), ("a", "deny @members 22", True), ("b", "deny in any", False),
    ("b", "deny in 198.19.0.1 8000", False), ("b", "deny in 198.19.0.3", True),
    ("b", "deny out any", True), ("a", "allow @members 8000", True), ("a", "deny any", False)])
def test_both_policies_hold(side, rule, reached):
    policies = {"a": ("public", []), "b": ("public", [])}
    policies[side] = ("public", [rule])
    with Team(policies) as team:
        team.serve("b", "tcp", 8000)
        result = team.reach("a", "tcp", "198.19.0.2", 8000)
        assert ("ok" in result) == reached, result
        if not reached:
            assert result["error"] == "ConnectionRefusedError" and result["seconds"] < 5


def test_port_53_of_a_member_is_our_resolver_like_everybodys():
    """Else its connections would pass whatever the sender's rules say."""
    ask = ("import socket\ns=socket.create_connection(('198.19.0.2',53),5);s.settimeout(5)\n"
           "q=b'\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\1b\\0\\0\\1\\0\\1'\n"
           "s.sendall(len(q).to_bytes(2,'big')+q);print(s.recv(600)[-4:])")
    for rules in ([], ["deny @members"]):
        with Team({"a": ("none", rules), "b": ("none", [])}) as team:
            team.serve("b", "tcp", 53)
            answer = team.guests["a"].run(sys.executable, "-c", ask, check=True).stdout
            assert answer.strip().decode() == repr(socket.inet_aton(ADDRESSES["b"][0])), rules


def test_a_new_policy_ends_what_members_have_open():
    hold = ("import socket,sys\ns=socket.create_connection(('b',int(sys.argv[1])));s.sendall(b'x')\n"
            "print('open',flush=True)\n"
            "try: print('told' if s.recv(9) else 'ended')\n"
            "except ConnectionResetError: print('reset')")
    silent = ("import socket,sys\ns=socket.create_server(('',int(sys.argv[1])));print('up',flush=True)\n"
              "c=s.accept()[0];c.recv(1);print('served',flush=True);sys.stdin.read();c.send(b'y')")
    with Team({"a": ("none", []), "b": ("none", [])}) as team:
        servers, clients = {}, {}
        for port in ("8001", "8002"):
            servers[port] = team.guests["b"].popen(sys.executable, "-c", silent, port,
                                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            team.servers.append(servers[port])
            assert servers[port].stdout.readline() == b"up\n"
            clients[port] = team.guests["a"].popen(sys.executable, "-c", hold, port,
                                                   stdout=subprocess.PIPE)
            team.servers.append(clients[port])
            assert clients[port].stdout.readline() == b"open\n"
            assert servers[port].stdout.readline() == b"served\n"
        answer = team.guests["b"].request(
            'id: 1 set_policy { preset: "none" rules: "deny in @members 8001" }')
        assert "ok" in answer
        assert clients["8001"].stdout.readline() in (b"reset\n", b"ended\n")
        servers["8002"].stdin.close()
        assert clients["8002"].stdout.readline() == b"told\n"


def test_who_is_no_member_is_not_there():
    with Team({"a": ("all", []), "b": ("none", []), "c": ("none", [])}, introduced=False) as team:
        team.serve("b", "tcp", 8000)
        introduce(team.guests["b"], team.guests["c"])
        assert "error" in team.reach("a", "tcp", "198.19.0.2", 8000)
        assert "error" in team.reach("a", "tcp", "b.team.internal", 8000)
        assert "ok" in team.reach("c", "tcp", "b", 8000)


def test_large_transfers_and_many_connections():
    code = ("import socket,sys,threading\n"
            "def one():\n"
            " for i in range(50):\n"
            "  s=socket.create_connection(('b',8000),20);s.sendall(b'x');assert s.recv(99);s.close()\n"
            "ts=[threading.Thread(target=one) for _ in range(8)]\n"
            "[t.start() for t in ts];[t.join() for t in ts];print('done')")
    big = ("import socket\ns=socket.create_server(('',9000));print('up',flush=True);c=s.accept()[0]\n"
           "n=0\nwhile d:=c.recv(1<<20): n+=len(d)\nprint(n,flush=True)")
    with Team({"a": ("none", []), "b": ("none", [])}) as team:
        team.serve("b", "tcp", 8000)
        before = [len(os.listdir(f"/proc/{g.process.pid}/fd")) for g in team.guests.values()]
        assert team.guests["a"].run(sys.executable, "-c", code, timeout=120).stdout == b"done\n"
        sink = team.guests["b"].popen(sys.executable, "-c", big, stdout=subprocess.PIPE)
        assert sink.stdout.readline() == b"up\n"
        team.guests["a"].run(sys.executable, "-c", "import socket;s=socket.create_connection("
                             "('b',9000));s.sendall(bytes(20<<20))", check=True)
        assert sink.stdout.readline() == b"%d\n" % (20 << 20)
        sink.wait()
        deadline = time.monotonic() + 30
        while True:
            after = [len(os.listdir(f"/proc/{g.process.pid}/fd")) for g in team.guests.values()]
            if all(now <= then + 1 for now, then in zip(after, before)):
                break
            assert time.monotonic() < deadline, (before, after)
            time.sleep(0.1)


def test_a_member_that_dies_is_gone_and_comes_back():
    with Team({"a": ("none", []), "b": ("none", [])}) as team:
        team.serve("b", "tcp", 8000)
        assert "ok" in team.reach("a", "tcp", "b", 8000)
        dead = team.guests["b"]
        dead.process.kill()
        dead.process.wait()
        assert team.reach("a", "tcp", "b.team.internal", 8000)["error"] == "gaierror"
        assert team.reach("a", "tcp", "198.19.0.2", 8000)["error"] == "ConnectionRefusedError"
        again = NamespaceGuest(NET, policy="none", names=("b", "b.team.internal"))
        again.name = "b"
        team.guests["again"] = again
        introduce(team.guests["a"], again)
        team.guests["b"], kept = again, dead
        team.serve("b", "tcp", 8000)
        assert "ok" in team.reach("a", "tcp", "b", 8000)
        team.guests = {"a": team.guests["a"], "b": again, "dead": kept}


def flow(protocol="TCP", source=1000, destination=8000, ipv6="false"):
    return translate("--encode", "PeerFlow",
                     (f"protocol: PROTOCOL_{protocol} source_port: {source} "
                      f"destination_port: {destination} ipv6: {ipv6}").encode(), "peer")


def test_a_taken_over_neighbour_does_no_harm():
    """The other end of the channel in the test's hands: it sends what a taken-over msb-net may."""
    with Team({"a": ("none", []), "b": ("none", ["deny in any 22"])}) as team:
        team.serve("b", "tcp", 8000)
        team.serve("b", "tcp", 22)
        guest = team.guests["b"]
        evil, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with evil:
            assert "ok" in guest.request('id: 1 add_member { names: "evil" address: "198.19.0.9" }',
                                         theirs.fileno())
            theirs.close()
            # Its address is the one that the daemon gave it, whatever it says; b's rules hold.
            stream, far = socket.socketpair()
            socket.send_fds(evil, [flow()], [far.fileno()])
            far.close()
            stream.settimeout(10)
            stream.sendall(b"hello")
            assert stream.recv(1) == b"\0"
            answer = b""
            while part := stream.recv(100):
                answer += part
            assert answer == b"198.19.0.9 hello"
            denied, far = socket.socketpair()
            socket.send_fds(evil, [flow(destination=22)], [far.fileno()])
            far.close()
            denied.settimeout(10)
            assert denied.recv(1) == b""
            # Packets that are none, ports that are none, descriptors that are none or too many.
            chance = random.Random(1)
            null = os.open("/dev/null", os.O_RDWR)
            for number in range(3000):
                packet = bytearray(flow(source=chance.randrange(1, 65536)))
                for _ in range(chance.choice((0, 1, 2))):
                    packet[chance.randrange(len(packet))] = chance.randrange(256)
                count = chance.choice((0, 1, 1, 2, 4))
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * count))]
                evil.sendmsg([bytes(packet)], rights if count else [])
            os.close(null)
            assert "ok" in team.reach("a", "tcp", "b", 8000)
            # More than its part: b's guest and its other neighbours have theirs.
            held = []
            for number in range(300):
                ours, far = socket.socketpair()
                socket.send_fds(evil, [flow(source=2000 + number)], [far.fileno()])
                far.close()
                held.append(ours)
            assert "ok" in team.reach("a", "tcp", "b", 8000)
            assert len(os.listdir(f"/proc/{guest.process.pid}/fd")) < 5000
            for end in held:
                end.close()
        assert guest.process.poll() is None
        assert "ok" in team.reach("a", "tcp", "b", 8000)


def lingering():
    """A TCP socket whose close waits for half a minute, or for somebody who never reads."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver = server.accept()[0]
    sender.setblocking(False)
    try:
        while True:
            sender.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    sender.setblocking(True)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
    return sender, receiver


def test_what_a_neighbour_sends_is_looked_at_before_it_is_believed():
    with NamespaceGuest(NET, policy="none", names=("b",)) as guest:
        evil, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = []

        def send(packet, kind, shut=False):
            ours, far = socket.socketpair(socket.AF_UNIX, kind)
            socket.send_fds(evil, [packet], [far.fileno()])
            if shut:
                far.shutdown(socket.SHUT_RDWR)
            far.close()
            return ours

        with evil:
            with theirs:
                assert "ok" in guest.request('id: 1 add_member { names: "evil" address: "198.19.0.9" }',
                                             theirs.fileno())
            # Of another kind than they are called, or of a protocol that is none.
            for protocol, kind in (("TCP", socket.SOCK_SEQPACKET), ("TCP", socket.SOCK_DGRAM),
                                   ("UDP", socket.SOCK_STREAM), ("UDP", socket.SOCK_DGRAM),
                                   ("UNSPECIFIED", socket.SOCK_SEQPACKET)):
                refused = send(flow(protocol), kind)
                refused.settimeout(10)
                if kind != socket.SOCK_DGRAM:  # which does not show its end
                    assert refused.recv(1) == b"", (protocol, kind)
                refused.close()
            assert "udp_flows" not in guest.request("id: 2 status {}")
            # Those that are closed or shut at once are no work for ever.
            for number in range(10):
                send(flow("UDP", source=3000 + number), socket.SOCK_SEQPACKET).close()
                kept.append(send(flow("UDP", source=4000 + number), socket.SOCK_SEQPACKET, shut=True))
            # One that takes its time to close, called what it is not, and beside others.
            for count in (1, 2, 6):
                sender, receiver = lingering()
                kept.append(receiver)
                socket.send_fds(evil, [flow()], [sender.fileno()] * count)
                sender.close()
            began, before = time.monotonic(), seconds_of_cpu(guest.process)
            assert "status" in guest.request("id: 3 status {}")
            assert time.monotonic() - began < 15
            deadline = time.monotonic() + 30
            while "udp_flows" in guest.request("id: 4 status {}"):
                assert time.monotonic() < deadline
                time.sleep(0.5)
            assert seconds_of_cpu(guest.process) - before < 1 + (time.monotonic() - began) / 10
        for end in kept:
            end.close()


def test_a_guest_has_as_many_neighbours_as_its_limit():
    with Team({"b": ("none", []), "c": ("none", [])}, introduced=False) as team:
        a = NamespaceGuest(NET, policy="none", limits="max_members: 1", names=("a",))
        a.name = "a"
        team.guests["a"] = a
        introduce(a, team.guests["b"])
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            refused = a.request('id: 1 add_member { names: "c" address: "198.19.0.3" }', ours.fileno())
        assert "[network] max_members" in refused
        introduce(a, team.guests["b"])  # the same one anew
        team.serve("b", "tcp", 8000)
        assert "ok" in team.reach("a", "tcp", "b", 8000)


def test_one_member_cannot_fill_another():
    with Team({"a": ("none", [])}) as team:
        full = NamespaceGuest(NET, policy="none", limits="max_flows: 64", names=("b",))
        full.name = "b"
        team.guests["b"] = full
        introduce(team.guests["a"], full)
        third = NamespaceGuest(NET, policy="none", names=("c",))
        third.name = "c"
        team.guests["c"] = third
        introduce(full, third)
        team.serve("b", "tcp", 8000)
        hold = ("import socket,time\nheld=[]\n"
                "for i in range(200):\n"
                " try: held.append(socket.create_connection(('b',8000),5))\n"
                " except OSError: pass\n"
                "print(len(held),flush=True);time.sleep(60)")
        flood = team.guests["a"].popen(sys.executable, "-c", hold, stdout=subprocess.PIPE)
        assert 1 <= int(flood.stdout.readline()) <= 32
        assert "ok" in team.reach("c", "tcp", "b", 8000)
        flood.kill()
        flood.wait()


# Opens connections for as long as it gets any, and keeps them.
HOLD = ("import socket,sys,time\nheld=[]\n"
        "for i in range(int(sys.argv[3])):\n"
        " try: held.append(socket.create_connection((sys.argv[1],int(sys.argv[2])),5))\n"
        " except OSError: pass\n"
        "print(len(held),flush=True);time.sleep(600)")


def test_two_neighbours_together_leave_a_guest_its_half():
    with Team({"a": ("none", []), "c": ("none", [])}) as team:
        full = NamespaceGuest(NET, policy="none", limits="max_flows: 64", names=("b",))
        full.name = "b"
        team.guests["b"] = full
        team.serve("b", "tcp", 8000)
        team.serve("a", "tcp", 9000)
        floods = []

        def flood(name, host, port, count):
            flood = team.guests[name].popen(sys.executable, "-c", HOLD, host, port, str(count),
                                            stdout=subprocess.PIPE)
            floods.append(flood)
            return int(flood.stdout.readline())

        try:
            for name in ("a", "c"):
                introduce(team.guests[name], full)
                assert 1 <= flood(name, "b", "8000", 60) <= 16
            # One that comes anew has no more for it.
            introduce(team.guests["a"], full)
            assert flood("a", "b", "8000", 60) == 0
            assert flood("b", "a", "9000", 30) == 30
        finally:
            for process in floods:
                process.kill()
                process.wait()


def test_connections_that_no_neighbour_answers_are_bounded():
    limits = "max_flows: 1000 max_connecting: 8"
    with NamespaceGuest(NET, policy="none", limits=limits, names=("b",)) as guest:
        evil, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with evil:
            with theirs:
                assert "ok" in guest.request('id: 1 add_member { names: "evil" address: "198.19.0.9" }',
                                             theirs.fileno())
            subprocess.run(["nsenter", f"--net=/proc/{guest.guest}/ns/net", "ip", "link", "set", "eth0",
                            "down"], check=True)
            opened = []
            for number in range(20):
                ours, far = socket.socketpair()
                socket.send_fds(evil, [flow(source=2000 + number)], [far.fileno()])
                far.close()
                opened.append(ours)
            # The last ones are refused: their sockets are closed.
            for refused in opened[4:]:
                refused.settimeout(10)
                assert refused.recv(1) == b""
            assert "tcp_flows: 4" in guest.request("id: 2 status {}")
            for end in opened:
                end.close()
