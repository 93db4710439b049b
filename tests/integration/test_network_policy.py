# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""msb-net against real servers: who is reached, and how fast it is said who is not.

Three network namespaces: the guest's, the "host" that msb-net runs in, and the "Internet" with servers.
The guest is a namespace and no machine, so that the whole matrix takes seconds.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from conftest import BUILD

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), "support", "network"))
from namespace_guest import GUEST_MAC, NamespaceGuest, start_msb_net  # noqa: E402
from world import (DNS, HOST, HOST6, METADATA, NAMES, PRIVATE, WEB, WEB2, WEB6,  # noqa: E402
                   World)

NPM_REGISTRY = pathlib.Path(__file__).parents[1] / "support/network/npm_registry.py"
# One of a sanitized build may be named; ./dev asan does so for the hostile frames.
BINARY = os.environ.get("MSB_NET") or str(BUILD / "network/msb-net")
# What one attempt may take: "at once" on a host that is busy with other things.
SOON = 5

PROBE = r"""
import json, socket, ssl, sys, time
kind, target, port, extra = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
began = time.monotonic()
def attempt():
    if kind == "dns":
        return sorted({info[4][0] for info in socket.getaddrinfo(target, None)})
    if kind == "udp":
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.settimeout(8); s.connect((target, port)); s.send(b"ping"); return s.recv(10).decode()
    with socket.create_connection((target, port), timeout=8) as s:
        if kind == "tls":
            context = ssl.create_default_context(); context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            s = context.wrap_socket(s, server_hostname=None if extra == "-" else extra)
        if kind == "banner":
            banner = s.recv(100).decode(); s.sendall(b"hello\n"); return banner + s.recv(100).decode()
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while part := s.recv(65536): data += part
        return data.decode().split("\r\n\r\n", 1)[1]
try:
    result = {"ok": attempt()}
except Exception as error:
    result = {"error": type(error).__name__}
result["seconds"] = time.monotonic() - began
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("network"), BINARY)
    yield world
    world.close()


def probe(guest, kind, target, port=0, extra="-"):
    done = guest.run(sys.executable, "-c", PROBE, kind, target, port, extra)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["seconds"] < SOON, f"{kind} {target}: {result}: no attempt may hang"
    return result


# Sends a file, ends its side, and prints the digest of what came the other way.
TRANSFER = r"""
import hashlib, socket, sys, threading
if sys.argv[1] == "listen":
    server = socket.create_server(("127.0.0.1", 9100)); print("up", flush=True); s = server.accept()[0]
else:
    s = socket.create_connection(("192.0.0.1", 9100))
def send():
    s.sendall(open(sys.argv[2], "rb").read()); s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
digest = hashlib.sha256()
while data := s.recv(65536): digest.update(data)
print(digest.hexdigest())
"""

OK, SHUT = True, False
# preset, rules, and what is tried: (kind, target, port, SNI), whether it is reached.
MATRIX = [
    ("public", [], [
        (("http", WEB, 80), OK), (("http", WEB6, 80), OK), (("udp", WEB, 7), OK),
        (("udp", WEB6, 7), OK), (("banner", WEB, 25), OK), (("tls", WEB, 443, "example.com"), OK),
        (("http", PRIVATE, 80), SHUT), (("http", METADATA, 80), SHUT), (("udp", PRIVATE, 7), SHUT),
        (("http", "192.0.0.1", 80), SHUT), (("http", "fd6d:7362::1", 80), SHUT),
        (("http", HOST, 80), SHUT), (("http", HOST6, 80), SHUT),
        (("dns", "example.com"), OK), (("dns", "rebind.example.com"), SHUT),
        (("dns", "half.example.com"), SHUT), (("dns", "loop.example.com"), SHUT),
        (("dns", "cloud.example.com"), SHUT), (("dns", "nobody.example.com"), SHUT),
        (("http", WEB, 853), OK), (("http", WEB6, 853), OK), (("udp", WEB, 443), OK)]),
    ("none", [], [
        (("http", WEB, 80), SHUT), (("udp", WEB, 7), SHUT), (("dns", "example.com"), SHUT)]),
    ("all", [], [
        (("http", PRIVATE, 80), OK), (("http", METADATA, 80), OK), (("http", "192.0.0.1", 80), OK),
        (("http", HOST, 80), OK), (("dns", "rebind.example.com"), OK)]),
    ("none", ["allow tcp 93.184.216.34 80", "allow udp 93.184.216.0/24 7"], [
        (("http", WEB, 80), OK), (("http", WEB, 8080), SHUT), (("http", WEB2, 80), SHUT),
        (("udp", WEB, 7), OK), (("udp", WEB6, 7), SHUT)]),
    ("all", ["deny @metadata", "deny tcp 10.0.0.0/8", "deny tcp any 25"], [
        (("http", METADATA, 80), SHUT), (("http", PRIVATE, 80), SHUT),
        (("banner", WEB, 25), SHUT), (("http", WEB, 80), OK)]),
    ("none", ["allow @private 80", "allow @host 8080"], [
        (("http", PRIVATE, 80), OK), (("http", PRIVATE, 8080), SHUT),
        (("http", "192.0.0.1", 8080), OK), (("http", WEB, 80), SHUT)]),
    ("none", ["allow tcp 2606:2800:220:1::/64 80"], [
        (("http", WEB6, 80), OK), (("http", WEB, 80), SHUT), (("udp", WEB6, 7), SHUT)]),
    ("all", ["deny 2606:2800:220:1::/64", "deny fd00::/8"], [
        (("http", WEB6, 80), SHUT), (("udp", WEB6, 7), SHUT), (("http", WEB, 80), OK),
        (("http", "::ffff:93.184.216.34", 80), OK), (("http", "fd6d:7362::1", 80), OK)]),
    ("none", ["allow udp 2606:2800:220:1::34 7", "allow tcp [2606:2800:220:1::34]:25"], [
        (("udp", WEB6, 7), OK), (("banner", WEB6, 25), OK), (("http", WEB6, 80), SHUT)]),
    # Names: only after they were looked up, and TLS has to say the same.
    ("none", ["allow example.com", "allow *.example.com:25"], [
        (("http", WEB, 80), SHUT), (("http", "example.com", 80), OK), (("http", WEB, 80), OK),
        (("tls", "example.com", 443, "example.com"), OK),
        (("tls", "example.com", 443, "other.org"), SHUT),
        (("tls", "example.com", 443, "-"), SHUT),
        (("banner", "www.example.com", 25), OK), (("dns", "other.org"), SHUT),
        (("http", WEB2, 80), SHUT), (("dns", "rebind.example.com"), SHUT)]),
    ("public", ["deny .example.com"], [
        (("dns", "example.com"), SHUT), (("dns", "www.example.com"), SHUT), (("dns", "other.org"), OK),
        (("http", "other.org", 80), OK), (("tls", WEB, 443, "other.org"), OK),
        # The address is known from elsewhere, and the name gives it away.
        (("tls", WEB, 443, "www.example.com"), SHUT), (("tls", WEB, 443, "dns.google"), SHUT),
        (("tls", WEB6, 443, "www.example.com"), SHUT), (("tls", WEB6, 443, "other.org"), OK),
        (("tls", WEB, 443, "-"), SHUT), (("http", WEB, 853), SHUT), (("http", WEB6, 853), SHUT),
        (("udp", WEB, 443), SHUT), (("udp", WEB, 7), OK)]),
    # A denial by name holds before a rule for every address, but not before one for this address.
    ("none", ["deny *.example.com", "allow @public:443"], [
        (("tls", WEB, 443, "www.example.com"), SHUT), (("tls", WEB, 443, "other.org"), OK),
        (("tls", WEB, 443, "dns.google"), SHUT), (("tls", WEB, 443, "-"), SHUT),
        (("http", WEB, 80), SHUT)]),
    ("none", ["deny *.example.com", "allow any"], [
        (("tls", WEB, 443, "www.example.com"), SHUT), (("tls", WEB6, 443, "www.example.com"), SHUT),
        (("tls", WEB, 443, "other.org"), OK), (("banner", WEB, 25), OK), (("udp", WEB, 7), OK),
        (("udp", WEB, 443), SHUT), (("http", WEB, 853), SHUT)]),
    ("none", ["deny *.example.com", "allow 93.184.216.0/24"], [
        (("tls", WEB, 443, "www.example.com"), OK), (("tls", WEB, 443, "-"), OK),
        (("udp", WEB, 443), OK), (("http", WEB, 853), OK)]),
    # Nor where names do not lead, but for one that is said; and none where no denial is by name.
    ("none", ["deny *.example.com", "allow @host", "allow @private"], [
        (("tls", "192.0.0.1", 443, "-"), OK), (("tls", PRIVATE, 443, "-"), OK),
        (("tls", PRIVATE, 443, "www.example.com"), SHUT), (("http", PRIVATE, 853), OK),
        (("http", "192.0.0.1", 853), OK), (("tls", WEB, 443, "other.org"), SHUT)]),
    ("public", ["allow example.com"], [
        (("tls", WEB, 443, "-"), OK), (("http", "example.com", 80), OK),
        (("tls", WEB, 443, "-"), OK), (("tls", WEB, 443, "www.example.com"), OK),
        (("udp", WEB, 443), OK), (("http", WEB, 853), OK)]),
    ("none", ["deny *.example.com", "allow 192.0.0.1:443", "allow udp [fd6d:7362::1]:7"], [
        (("tls", "192.0.0.1", 443, "-"), OK), (("http", "192.0.0.1", 80), SHUT),
        (("udp", "fd6d:7362::1", 7), OK), (("http", "fd6d:7362::1", 80), SHUT)]),
    ("none", ["allow 192.0.0.0/24"], [(("http", "192.0.0.1", 80), SHUT)]),
    ("none", ["allow any", "deny *.example.com"], [(("tls", WEB, 443, "www.example.com"), OK)]),
]


@pytest.mark.parametrize("preset, rules, attempts", MATRIX,
                         ids=[f"{p}-{'+'.join(r)}" for p, r, _ in MATRIX])
def test_matrix(world, preset, rules, attempts):
    with world.guest(preset, *rules) as guest:
        for arguments, reached in attempts:
            result = probe(guest, *arguments)
            assert ("ok" in result) == reached, f"{arguments}: {result}"


def test_a_denied_connection_is_reset_and_a_denied_datagram_answered(world):
    with world.guest("public") as guest:
        assert probe(guest, "http", PRIVATE, 80)["error"] == "ConnectionRefusedError"
        assert probe(guest, "udp", PRIVATE, 7)["error"] in ("OSError", "PermissionError")
        assert probe(guest, "http", WEB, 81)["error"] == "ConnectionRefusedError"
        assert probe(guest, "udp", WEB, 9)["error"] == "ConnectionRefusedError"


# A SYN, and a datagram, to an address that the sender's own kernel would send nowhere: behind Ethernet.
RAW = r"""
import select, socket, struct, sys, time
mac, target = bytes.fromhex(sys.argv[1]), sys.argv[2]
v6 = ":" in target
family = socket.AF_INET6 if v6 else socket.AF_INET
source = socket.inet_pton(family, "fd6d:7362::2" if v6 else "192.0.0.2")
target = socket.inet_pton(family, target)
def total(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def packet(protocol, body, at):
    length = struct.pack(">IHH" if v6 else ">HHH", len(body), 0, protocol)
    body = body[:at] + struct.pack(">H", total(source + target + length + body)) + body[at + 2:]
    if v6: return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + source + target + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + source + target
    return head[:10] + struct.pack(">H", total(head)) + head[12:] + body
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); wire.bind(("eth0", 0))
def send(protocol, body, at):
    wire.send(b"\x02msb\0\1" + mac + (b"\x86\xdd" if v6 else b"\x08\0") + packet(protocol, body, at))
    deadline = time.monotonic() + 5
    while select.select([wire], [], [], max(0, deadline - time.monotonic()))[0]:
        frame, place = wire.recvfrom(70000)
        if place[2] == 4: continue  # our own
        rest = frame[54:] if v6 else frame[34:]
        kind = frame[20] if v6 else frame[23]
        if kind == protocol == 6 and rest[2:4] == b"\x27\x10":
            return {0x12: "accepted", 0x14: "reset"}.get(rest[13], hex(rest[13]))
        if kind in (1, 58) and rest[0] == (1 if v6 else 3): return "unreachable"
        if kind == protocol == 17 and rest[2:4] == b"\x27\x10": return "answered"
    return "silence"
print(send(6, struct.pack(">HHIIBBHHH", 10000, 80, 1, 0, 0x50, 2, 65535, 0, 0), 16),
      send(17, struct.pack(">HHHH", 10000, 7, 12, 0) + b"ping", 6))
"""


def raw_answers(guest, target):
    done = guest.run(sys.executable, "-c", RAW, GUEST_MAC.hex(), target, check=True)
    return done.stdout.decode().split()


def test_an_unspecified_address_is_no_way_to_the_host(world):
    """Linux takes a connection to 0.0.0.0 or :: for one to itself."""
    for rules in ((), ("deny @host", "deny @loopback"), ("allow any",)):
        with world.guest("all", *rules) as guest:
            assert raw_answers(guest, WEB) == ["accepted", "answered"]
            for target in ("0.0.0.0", "0.0.0.1", "::", "::127.0.0.1"):
                assert raw_answers(guest, target) == ["reset", "unreachable"], (rules, target)


def test_a_name_that_moves_takes_its_rule_along(world):
    with world.guest("none", "allow moving.example.com 80") as guest:
        assert "ok" in probe(guest, "http", "moving.example.com", 80)
        assert "error" in probe(guest, "http", WEB2, 80)
        world.set_names(NAMES | {"moving.example.com": [WEB2]})
        try:
            assert "ok" in probe(guest, "http", "moving.example.com", 80)
            assert "ok" in probe(guest, "http", WEB2, 80)
        finally:
            world.set_names(NAMES)


def test_dns_goes_through_our_resolver_wherever_it_is_sent(world):
    query = (b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05other\x03org\x00\x00\x01\x00\x01")
    code = ("import socket,sys;s=socket.socket(type=socket.SOCK_{0});s.settimeout(4);"
            "s.connect(('{1}',53));s.send({2}{3!r});d=s.recv(600);print(d[-4:].hex(), d[{4}]&15)")
    with world.guest("none", "allow example.com") as guest:
        for kind, prefix, at in (("DGRAM", "", 3), ("STREAM", "b'\\x00\\x1b'+", 5)):
            for server in (DNS, "192.0.0.1", "8.8.8.8"):
                out = guest.run(sys.executable, "-c", code.format(kind, server, prefix, query, at))
                assert out.stdout.split()[-1:] == [b"3"], (kind, server, out)
    with world.guest("public") as guest:
        code = code.format("STREAM", "8.8.8.8", "b'\\x00\\x1b'+", query, 5)
        out = guest.run(sys.executable, "-c", code)
        assert out.stdout.split() == [socket.inet_aton(WEB2).hex().encode(), b"0"], out


def test_records_that_hide_names_are_withheld_where_names_matter(world):
    code = ("import socket,sys;s=socket.socket(type=socket.SOCK_DGRAM);s.settimeout(5)\n"
            "q=b'\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\5other\\3org\\0\\0'"
            "+bytes([int(sys.argv[1])])+b'\\0\\1'\n"
            "s.sendto(q,('192.0.0.1',53));d=s.recv(600);print(d[3]&15,d[7])")
    for rules, told in ((("deny a.example",), "withheld"), ((), "0 addresses")):
        with world.guest("public", *rules) as guest:
            client, wait = guest.watch()
            with client:
                for number, kind in ((64, "SVCB"), (65, "HTTPS"), (255, "ANY")):
                    out = guest.run(sys.executable, "-c", code, number, check=True).stdout
                    assert out == b"0 0\n"
                    assert f'"{kind} {told}"' in wait("KIND_DNS", "other.org")


def test_look_ups_at_once_are_bounded(world):
    code = ("import socket,struct\ns=socket.socket(type=socket.SOCK_DGRAM);s.settimeout(20)\n"
            "for i in range(5):\n"
            " s.sendto(struct.pack('>6H',i,256,1,0,0,0)+b'\\1%c\\3org\\0\\0\\1\\0\\1'%(97+i),"
            "('192.0.0.1',53))\n"
            "print([s.recv(600)[3]&15 for i in range(3)])")
    # Nobody answers there.
    guest = NamespaceGuest(BINARY, enter=world.enter(world.host), policy="public",
                           dns=("93.184.216.99",), limits="max_lookups: 2")
    with guest:
        client, wait = guest.watch()
        with client:
            assert guest.run(sys.executable, "-c", code).stdout == b"[2, 2, 2]\n"
            wait("KIND_DNS", "too many look-ups")


def test_a_new_policy_holds_at_once(world):
    with world.guest("public") as guest:
        assert "ok" in probe(guest, "http", WEB, 80)
        long = guest.popen(sys.executable, "-c", "import socket;s=socket.create_connection(('%s',25));"
                           "print(s.recv(99),flush=True);s.settimeout(20);print(s.recv(9))" % WEB,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert long.stdout.readline()
        assert "ok" in guest.request('id: 1 set_policy { preset: "none" }')
        assert b"ConnectionResetError" in long.communicate(timeout=20)[1]
        assert "error" in probe(guest, "http", WEB, 80)
        assert "rule 1" in guest.request('id: 1 set_policy { preset: "none" rules: "perhaps" }')


# TLS to an address by its number; once told by a line, a request.
HELD_TLS = r"""
import socket, ssl, sys
context = ssl.create_default_context(); context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
s = context.wrap_socket(socket.create_connection((sys.argv[1], 443)), server_hostname=sys.argv[2])
print("up", flush=True)
try:
    sys.stdin.readline(); s.sendall(b"GET / HTTP/1.0\r\n\r\n"); print(s.recv(100)[:8])
except OSError: print("reset")
"""
# A line over TCP, and a datagram; the same once more when told.
HELD_PLAIN = r"""
import socket, sys
tcp = socket.create_connection((sys.argv[1], 25), 5); print(tcp.recv(99), flush=True)
udp = socket.socket(type=socket.SOCK_DGRAM); udp.settimeout(5); udp.connect((sys.argv[1], 7))
udp.send(b"x"); print(udp.recv(9), flush=True)
sys.stdin.readline(); tcp.sendall(b"hello\n"); udp.send(b"y"); print(tcp.recv(99), udp.recv(9))
"""


def held(guest, code, *arguments):
    return guest.popen(sys.executable, "-c", code, *arguments, stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_new_policy_asks_connections_for_the_name_that_they_said(world):
    with world.guest("public") as guest:
        names = ("www.example.com", "other.org", "dns.google")
        clients = {name: held(guest, HELD_TLS, WEB, name) for name in names}
        silent = held(guest, "import socket,sys\ns=socket.create_connection(('%s',443));print('up',"
                      "flush=True)\nsys.stdin.readline()\nimport ssl;c=ssl.create_default_context()\n"
                      "try: c.wrap_socket(s,server_hostname='www.example.com')\n"
                      "except Exception as e: print(type(e).__name__)" % WEB)
        for client in (*clients.values(), silent):
            assert client.stdout.readline() == b"up\n"
        assert "ok" in guest.request('id: 1 set_policy { preset: "public" rules: "deny .example.com" }')
        told = {name: client.communicate(b"\n", timeout=20)[0] for name, client in clients.items()}
        assert told == {"www.example.com": b"reset\n", "other.org": b"b'HTTP/1.1'\n",
                        "dns.google": b"reset\n"}
        # What had said none yet is asked when it does.
        assert silent.communicate(b"\n", timeout=20)[0] == b"ConnectionResetError\n"


# The beginning of TLS, which is a line too; once the datagram behind it is answered, it is with msb-net.
HALF_HELLO = r"""
import socket, sys
tcp = socket.create_connection((sys.argv[1], 25), 5); tcp.recv(99); tcp.sendall(b"\x16\3\1\0\n")
udp = socket.socket(type=socket.SOCK_DGRAM); udp.settimeout(5); udp.connect((sys.argv[1], 7))
udp.send(b"x"); print(udp.recv(9), flush=True)
print(tcp.recv(99))
"""


def test_what_is_no_longer_asked_for_its_name_goes_on(world):
    with world.guest("public", "deny .example.com") as guest:
        client = held(guest, HALF_HELLO, WEB)
        assert client.stdout.readline() == b"b'x'\n"
        assert "ok" in guest.request('id: 1 set_policy { preset: "public" }')
        assert client.communicate(timeout=20)[0] == b"b'250 \\x16\\x03\\x01\\x00\\n'\n"


def test_a_denied_name_ends_no_connection_of_another_at_its_address(world):
    with world.guest("public") as guest:
        for name in ("example.com", "www.example.com"):
            assert WEB in probe(guest, "dns", name)["ok"]
        client = held(guest, HELD_TLS, WEB, "example.com")
        assert client.stdout.readline() == b"up\n"
        rule = 'rules: "deny www.example.com"'
        assert "ok" in guest.request(f'id: 1 set_policy {{ preset: "public" {rule} }}')
        assert client.communicate(b"\n", timeout=20)[0] == b"b'HTTP/1.1'\n"


def test_a_name_that_opened_a_flow_holds_as_long_as_the_flow(world):
    rules = ("allow moving.example.com", "allow other.org")
    with world.guest("none", *rules, limits="max_names: 1") as guest:
        plain = held(guest, HELD_PLAIN, "moving.example.com")
        assert plain.stdout.readline() == b"b'220 ready\\r\\n'\n"
        assert plain.stdout.readline() == b"b'x'\n"
        assert "ok" in probe(guest, "http", "other.org", 80)  # and the other name is forgotten
        assert "error" in probe(guest, "http", WEB, 80)
        text = " ".join(f'rules: "{rule}"' for rule in (*rules, "allow 10.1.2.3"))
        assert "ok" in guest.request(f'id: 1 set_policy {{ preset: "none" {text} }}')
        out = plain.communicate(b"\n", timeout=20)
        assert out[0] == b"b'250 hello\\n' b'y'\n", out


def test_events_tell_a_look_up_and_a_flow_from_its_beginning_to_its_end(world):
    with world.guest("none", "allow www.example.com 80", "allow udp any 7") as guest:
        client, wait = guest.watch()
        with client:
            assert "ok" in probe(guest, "http", "www.example.com", 80)
            # The other, of its IPv6 address, comes before or behind it.
            wait("KIND_DNS", '"www.example.com"', f'"A 1 addresses {WEB}"')
            flow = ("tcp", f'destination: "{WEB}:80"', 'name: "www.example.com"',
                    'rule_text: "allow out www.example.com 80"')
            wait("KIND_FLOW_OPENED", *flow)
            closed = wait("KIND_FLOW_CLOSED", *flow)
            assert "bytes_up: 18" in closed and "bytes_down: " in closed
            assert "ok" in probe(guest, "udp", WEB, 7)
            wait("KIND_FLOW_OPENED", "udp", f'destination: "{WEB}:7"')
            assert "error" in probe(guest, "http", WEB2, 80)
            wait("KIND_DENIED", "tcp", f'destination: "{WEB2}:80"', 'rule_text: "none"')


def test_counts_by_rule(world):
    with world.guest("none", "allow tcp 93.184.216.34 80", "deny any") as guest:
        probe(guest, "http", WEB, 80)
        probe(guest, "http", WEB, 81)
        probe(guest, "udp", WEB, 7)
        status = guest.request("id: 1 status {}")
        counters = [part.split("}")[0] for part in status.split("counters {")[1:]]
        assert "flows: 1" in counters[0] and "bytes_down" in counters[0]
        assert "flows: 2" in counters[1]
        assert "denied: 2" in status


def published(guest, port, guest_port, kind="TCP"):
    listener = socket.socket(type=socket.SOCK_STREAM if kind == "TCP" else socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", port))
    if kind == "TCP":
        listener.listen(1024)
    text = (f'id: 1 publish {{ protocol: PROTOCOL_{kind} host_address: "127.0.0.1" '
            f"host_port: {listener.getsockname()[1]} guest_port: {guest_port} }}")
    assert "ok" in guest.request(text, listener.fileno())
    return listener.getsockname()[1]


def test_published_ports_reach_a_service_that_starts_late(world):
    with world.guest("none") as guest:
        port = published(guest, 0, 8000)
        with pytest.raises(ConnectionError):  # while it connects, or behind that
            with socket.create_connection(("127.0.0.1", port), timeout=5) as early:
                assert early.recv(1) == b"never"
        server = guest.popen(sys.executable, "-c",
                             "import socket;s=socket.create_server(('',8000),backlog=1024);"
                             "print('up',flush=True)\n"
                             "while True:\n c,a=s.accept();c.sendall(a[0].encode());c.close()",
                             stdout=subprocess.PIPE)
        assert server.stdout.readline() == b"up\n"
        with socket.create_connection(("127.0.0.1", port), timeout=5) as late:
            assert late.recv(100) == b"192.0.0.1"
        clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(1000)]
        assert all(client.recv(100) == b"192.0.0.1" for client in clients)
        for client in clients:
            client.close()
        echo = published(guest, 0, 7000, "UDP")
        server.kill()
        server = guest.popen(sys.executable, "-c", "import socket;s=socket.socket(type=2);"
                             "s.bind(('',7000));print('up',flush=True)\nwhile True:\n"
                             " d,a=s.recvfrom(9000);s.sendto(d,a)", stdout=subprocess.PIPE)
        assert server.stdout.readline() == b"up\n"
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(("127.0.0.1", echo))
            client.send(b"x" * 5000)
            assert client.recv(9000) == b"x" * 5000
        server.kill()


def resources(process):
    with open(f"/proc/{process.pid}/statm", encoding="ascii") as statm:
        resident = int(statm.read().split()[1]) * 4096
    return len(os.listdir(f"/proc/{process.pid}/fd")), resident


def test_ten_thousand_connections_leave_nothing_behind(world):
    code = ("import socket\n"
            "for i in range(%d):\n"
            " s=socket.create_connection(('{0}',80));s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
            " while s.recv(4096): pass\n s.close()").format(WEB)
    with world.guest("public") as guest:
        guest.run(sys.executable, "-c", code % 100, check=True)
        before = resources(guest.process)
        workers = [guest.popen(sys.executable, "-c", code % 2500) for _ in range(4)]
        assert all(worker.wait(timeout=300) == 0 for worker in workers)
        deadline = time.monotonic() + 30
        while resources(guest.process)[0] > before[0] and time.monotonic() < deadline:
            time.sleep(0.1)
        after = resources(guest.process)
        assert after[0] <= before[0]
        assert after[1] < before[1] + (8 << 20)
        assert "tcp_flows" not in guest.request("id: 1 status {}")


def test_a_flood_of_connections_is_bounded_and_the_rest_goes_on(world):
    code = ("import socket\nheld=[]\n"
            "for i in range(400):\n"
            " s=socket.socket();s.setblocking(False)\n"
            " try: s.connect(('{0}',25))\n except BlockingIOError: held.append(s)\n"
            "print('done',flush=True);import time;time.sleep(60)").format(WEB)
    with world.guest("public", limits="max_flows: 64") as guest:
        flood = guest.popen(sys.executable, "-c", code, stdout=subprocess.PIPE)
        assert flood.stdout.readline() == b"done\n"
        assert resources(guest.process)[0] < 64 + 40
        flood.kill()
        flood.wait()
        deadline = time.monotonic() + 20
        while "ok" not in probe(guest, "http", WEB, 80):
            assert time.monotonic() < deadline


def test_much_data_arrives_whole_over_a_wire_that_loses(world):
    data = os.urandom(2 << 20)
    path = world.directory / "data"
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    listener = subprocess.Popen(
        [*world.enter(world.host), sys.executable, "-c", TRANSFER, "listen", path],
        stdout=subprocess.PIPE)
    assert listener.stdout.readline() == b"up\n"
    with world.guest("all", lose=0.03) as guest:
        out = guest.run(sys.executable, "-c", TRANSFER, "connect", path, timeout=120)
        assert out.stdout.decode().split() == [digest], out.stderr[-500:]
        # What the guest sent last may still be on its way.
        assert listener.communicate(timeout=30)[0].decode().split() == [digest]


ARP = (b"\xff" * 6 + GUEST_MAC + bytes.fromhex("08060001080006040001") + GUEST_MAC
       + socket.inet_aton("192.0.0.2") + bytes(6) + socket.inet_aton("192.0.0.1"))


def hostile_frames(seed, count):
    """Frames that a guest may send, some as they should be, most changed, cut or lengthened."""
    chance = random.Random(seed)
    ethernet4 = bytes(6) + GUEST_MAC + b"\x08\x00"
    ethernet6 = bytes(6) + GUEST_MAC + b"\x86\xdd"
    addresses4 = socket.inet_aton("192.0.0.2") + socket.inet_aton(WEB)
    addresses6 = (socket.inet_pton(socket.AF_INET6, "fd6d:7362::2")
                  + socket.inet_pton(socket.AF_INET6, WEB6))
    tcp = bytes.fromhex("03e80050000003e800000000a0020400000000000204ffc40103030700000000")
    tcp += bytes(8)
    udp = bytes.fromhex("03e8003500200000123401000001000000000000016100000100017878787878")
    echo = bytes.fromhex("0800000000010001") + b"data"
    seeds = [ARP]
    for protocol, body in ((6, tcp), (17, udp), (1, echo)):
        seeds.append(ethernet4 + bytes([0x45, 0]) + (20 + len(body)).to_bytes(2, "big")
                     + bytes([0, 0, 0, 0, 64, protocol, 0, 0]) + addresses4 + body)
        seeds.append(ethernet6 + bytes([0x60, 0, 0, 0]) + len(body).to_bytes(2, "big")
                     + bytes([58 if protocol == 1 else protocol, 255]) + addresses6 + body)
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((0, 1, 1, 2, 4, 16))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        cut = chance.random()
        if cut < 0.1:
            del data[chance.randrange(len(data)):]
        elif cut < 0.15:
            data += chance.randbytes(chance.choice((1, 100, 60000)))
        yield bytes(data)


def sent_by(world):
    """What left the "host" since it began: connections, datagrams, echo requests."""
    counts = []
    for name, fields in (("snmp", (("Tcp:", "ActiveOpens"), ("Udp:", "OutDatagrams"),
                                   ("Icmp:", "OutMsgs"))), ("snmp6", (("Udp6OutDatagrams", ""),))):
        text = subprocess.run([*world.enter(world.host), "cat", f"/proc/net/{name}"],
                              capture_output=True, check=True).stdout.decode()
        lines = [line.split() for line in text.splitlines()]
        for prefix, field in fields:
            found = [line for line in lines if line[0] == prefix]
            counts.append(int(found[0][1] if not field else found[1][found[0].index(field)]))
    return counts


def fragments_and_spoofed():
    """Pieces of packets that would pass if they were put together, and packets of others."""
    def total(data):
        value = sum(struct.unpack(f">{len(data) // 2}H", data))
        while value >> 16:
            value = (value & 0xffff) + (value >> 16)
        return ~value & 0xffff

    def v4(source, flags, body, protocol=17):
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, flags, 64, protocol, 0)
        head += socket.inet_aton(source) + socket.inet_aton(WEB)
        return (bytes(6) + GUEST_MAC + b"\x08\0" + head[:10] + struct.pack(">H", total(head)) + head[12:]
                + body)

    def v6(source, next_header, body):
        head = struct.pack(">IHBB", 6 << 28, len(body), next_header, 64)
        return (bytes(6) + GUEST_MAC + b"\x86\xdd" + head
                + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, WEB6)
                + body)

    datagram = struct.pack(">HHHH", 1000, 7, 24, 0) + bytes(16)
    for number in range(2000):  # a bomb: first pieces without a second, pieces over each other
        at = number % 8189
        yield v4("192.0.0.2", 0x2000 | at, datagram)
        yield v4("192.0.0.2", at + 1, datagram)
        yield v6("fd6d:7362::2", 44, struct.pack(">BBHI", 17, 0, at << 3 | 1, number) + datagram)
        yield v6("fd6d:7362::2", 44, struct.pack(">BBHI", 17, 0, (at + 1) << 3, 7) + datagram)
    syn = struct.pack(">HHIIBBHHH", 1000, 80, 1, 0, 0x50, 2, 65535, 0, 0)
    for source in ("192.0.0.1", "192.0.0.3", "127.0.0.1", HOST, WEB, "255.255.255.255", "0.0.0.0"):
        for protocol, body in ((6, syn), (17, datagram), (1, bytes.fromhex("0800f7ff00000000"))):
            yield v4(source, 0, body, protocol)
    for source in ("fd6d:7362::1", "fd6d:7362::3", "::1", HOST6, WEB6, "fe80::1", "::"):
        for protocol, body in ((6, syn), (17, datagram)):
            yield v6(source, protocol, body)


@contextlib.contextmanager
def bare_msb_net(world, tmp_path, policy):
    """msb-net with the test itself at the other end of its wire."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "control.sock"))
    listener.listen()
    ours, theirs = socket.socketpair()
    with ours, open(tmp_path / "log", "w+b") as log:
        process = start_msb_net(BINARY, theirs, listener, log, enter=world.enter(world.host),
                                policy=policy, dns=(DNS,))
        theirs.close()
        try:
            yield ours, process, log
        finally:
            process.kill()
            process.wait()


def test_fragments_and_spoofed_packets_leave_nothing_behind_and_reach_nobody(world, tmp_path):
    with bare_msb_net(world, tmp_path, "all") as (wire, process, _):
        wire.settimeout(SOON)
        stream = wire.makefile("rb")

        def others_until_arp_is_answered():
            wire.sendall(struct.pack(">I", len(ARP)) + ARP)
            others = []
            while True:
                frame = stream.read(struct.unpack(">I", stream.read(4))[0])
                if frame[12:14] == b"\x08\x06":
                    return others
                others.append((frame[12:14], frame[20], frame[54]))

        assert others_until_arp_is_answered() == []
        before, used = sent_by(world), resources(process)
        for frame in fragments_and_spoofed():
            wire.sendall(struct.pack(">I", len(frame)) + frame)
        # At most that the piece of a packet of IPv6 is of no protocol that passes.
        assert set(others_until_arp_is_answered()) <= {(b"\x86\xdd", 58, 1)}
        assert sent_by(world) == before
        after = resources(process)
        assert after[0] == used[0] and after[1] < used[1] + (16 << 20)


@pytest.mark.parametrize("policy", ["public", "none"])
def test_hostile_frames_do_no_harm(world, policy, tmp_path):
    with bare_msb_net(world, tmp_path, policy) as (wire, process, log):
        answered = threading.Event()

        def read():
            stream = wire.makefile("rb")
            while header := stream.read(4):
                frame = stream.read(struct.unpack(">I", header)[0])
                if frame[12:14] == b"\x08\x06":
                    answered.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        for frame in hostile_frames(policy, 20000):
            wire.sendall(struct.pack(">I", len(frame)) + frame)
        answered.clear()
        wire.sendall(struct.pack(">I", len(ARP)) + ARP)
        assert answered.wait(SOON), log.read()[-2000:]
        assert process.poll() is None
        # A length that no frame has ends the link, and with it the process, in good order.
        wire.sendall(b"\xff\xff\xff\xff")
        assert process.wait(timeout=SOON) == 1
        log.seek(0)
        assert b"Sanitizer" not in log.read()
        reader.join(SOON)


def test_npm_installs_from_where_a_rule_lets_it(world, tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("no npm on this host")
    world.servers.append(world.start(world.internet, str(NPM_REGISTRY)))
    project = tmp_path / "project"
    project.mkdir()
    install = ("env", f"HOME={tmp_path}", "npm", "--prefix", project, "--no-audit", "--no-fund",
               "--fetch-retries=0", "--registry=http://www.example.com:4873/", "install", "greeting")
    with world.guest("none", "allow www.example.com:80") as guest:
        assert guest.run(*install).returncode != 0
    with world.guest("none", "allow www.example.com:4873") as guest:
        done = guest.run(*install, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
    shown = subprocess.run(["node", project / "node_modules/greeting"], capture_output=True, check=True)
    assert shown.stdout == b"hello from npm\n"


def test_a_flood_and_a_leak_leave_the_neighbour_alone(world):
    """Two guests, each with its own msb-net: what one wastes is its own."""
    flood = ("import socket\nheld=[]\nprint('begun',flush=True)\n"
             "while True:\n"
             " s=socket.socket();s.setblocking(False)\n"
             " try: s.connect(('93.184.216.34',25))\n except OSError: pass\n"
             " held.append(s)\n u=socket.socket(type=2)\n"
             " try:\n  u.connect(('93.184.216.34',7));u.send(b'x');held.append(u)\n"
             " except OSError: pass\n"
             " if len(held)>900: held=held[450:]")
    with world.guest("public", limits="max_flows: 256") as wasteful, world.guest("public") as other:
        spender = wasteful.popen(sys.executable, "-c", flood, stdout=subprocess.PIPE)
        assert spender.stdout.readline() == b"begun\n"
        for _ in range(10):
            assert "ok" in probe(other, "http", WEB, 80)
            assert "ok" in probe(other, "udp", WEB, 7)
        assert resources(wasteful.process)[0] < 256 + 40
        spender.kill()
        spender.wait()
        assert resources(other.process)[0] < 64
