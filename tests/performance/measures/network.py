# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

from conftest import BUILD, Box
from figures import ROOT, compare, peer

sys.path.insert(0, str(ROOT / "tests/support/network"))
import namespace_guest as net  # noqa: E402

MIB = 64
PINGS = 200
CONNECTS = 50
# In the guest: what it is told to do over TCP with the host, and how long that took.
CLIENT = r"""
import socket, sys, time
what, port = sys.argv[1], int(sys.argv[2])
def connect():
    s = socket.create_connection(("192.0.0.1", port)); s.setsockopt(6, 1, 1); return s
buffer = bytearray(1 << 18)
if what == "down":
    s = connect(); s.sendall(b"d"); began = time.monotonic(); left = int(sys.argv[3])
    while left > 0: left -= s.recv_into(buffer)
    print(time.monotonic() - began)
elif what == "up":
    s = connect(); s.sendall(b"u"); began = time.monotonic(); left = int(sys.argv[3])
    while left > 0: left -= s.send(buffer[:min(left, len(buffer))])
    s.shutdown(1); s.recv(1); print(time.monotonic() - began)
elif what == "ping":
    s = connect(); s.sendall(b"p"); s.sendall(b"x"); s.recv(1); began = time.monotonic()
    for _ in range(int(sys.argv[3])): s.sendall(b"x"); s.recv(1)
    print(time.monotonic() - began)
elif what == "connect":
    began = time.monotonic()
    for _ in range(int(sys.argv[3])): connect().close()
    print(time.monotonic() - began)
"""


class Server:
    """On the host's loopback: sends, takes or answers as the first byte of a connection says."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        block = bytearray(1 << 20)
        with connection, contextlib.suppress(OSError):
            kind = connection.recv(1)
            if kind == b"d":
                for _ in range(MIB):
                    connection.sendall(block)
            elif kind == b"u":
                while connection.recv_into(block):
                    pass
                connection.sendall(b"e")
            elif kind == b"p":
                while data := connection.recv(1):
                    connection.sendall(data)


class Wire:
    """Who serves the guest's card now. A new connection takes the place of the old one."""

    def __init__(self, path, directory):
        self.path, self.directory, self.process = path, directory, None

    def connect(self):
        wire = socket.socket(socket.AF_UNIX)
        wire.connect(str(self.path))
        return wire

    def replace(self, start):
        with self.connect() as wire:
            process = start(wire)
        self.stop()
        self.process = process

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ours(self):
        control = socket.socket(socket.AF_UNIX)
        path = f"{self.directory}/control-{time.monotonic_ns()}"
        control.bind(path)
        control.listen()
        self.replace(lambda wire: net.start_msb_net(str(BUILD / "network/msb-net"), wire, control, None,
                                                    mac=b"\x02msb\x00\x02", policy="all"))
        control.close()

    def passt(self):
        program = peer("MSB_PASST", "passt", "Debian's package passt")
        self.replace(lambda wire: subprocess.Popen(
            [program, "--foreground", "--quiet", "--fd", str(wire.fileno()), "-a", "192.0.0.2",
             "-n", "29", "-g", "192.0.0.1", "-m", "65520", "--no-dhcp",
             "--no-dhcpv6", "--no-ra", "-4"],
            pass_fds=[wire.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))


def once(box, server):
    def timed(what, count):
        return float(box.output("python3", "-c", CLIENT, what, str(server.port), str(count)))
    timed("connect", 1)  # the neighbour is known by then
    return {"into_the_guest": MIB / timed("down", MIB << 20),
            "out_of_the_guest": MIB / timed("up", MIB << 20),
            "round_trip": timed("ping", PINGS) / PINGS * 1e6,
            "connection": timed("connect", CONNECTS) / CONNECTS * 1e6}


def measure(daemon, directory, runs):
    """TCP between guest and host: 64 MiB each way, round trips, connections, beside passt.

    Both serve the same card of the same machine in turn. Of throughput more is better, of times less.
    """
    box = Box(daemon, "--engine", "qemu", "--network", "all")
    server = Server()
    link = next(daemon.runtime.glob(f"sandboxes/{daemon.inspect(box.name)['id']}/link.sock"))
    wire = Wire(link, directory)
    try:
        figures = {"ours": [], "passt": []}
        for _ in range(runs):
            for name in figures:
                getattr(wire, name if name == "passt" else "ours")()
                figures[name].append(once(box, server))
        units = {"into_the_guest": ("MiB/s", "at least 1"), "out_of_the_guest": ("MiB/s", "at least 1"),
                 "round_trip": ("us", "at most 1"), "connection": ("us", "at most 1")}
        return {key: compare([run[key] for run in figures["ours"]],
                             [run[key] for run in figures["passt"]], *unit)
                for key, unit in units.items()}
    finally:
        server.listener.close()
        wire.stop()
        box.remove()
