# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""msb-net with a guest that is a network namespace of this host: Linux's own TCP/IP at the other end of
the wire, without a machine around it.

    with NamespaceGuest(binary, policy="all") as guest:
        guest.run("curl", "http://192.0.0.1:8000/")

Needs root and /dev/net/tun.
"""
import ctypes
import fcntl
import os
import random
import signal
import socket
import struct
import subprocess
import threading

from control_program import ControlProgram, start_program, translate

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 2, 0x1000
MTU = 65520
GUEST_MAC = b"\x02\x00\x00\x00\x00\x01"
GUEST, GATEWAY, PREFIX = "192.0.0.2", "192.0.0.1", 29
GUEST6, GATEWAY6, PREFIX6 = "fd6d:7362::2", "fd6d:7362::1", 64


def quoted(values):
    return " ".join(f'rules: "{value}"' for value in values)


def spec_text(link_fd, control_fd, policy="public", rules=(), dns=(), limits="", mac=GUEST_MAC,
              secrets="", names=()):
    mac = "".join(f"\\{byte:03o}" for byte in mac)
    servers = " ".join(f'dns_servers: "{server}"' for server in dns)
    return (f'id: "test" link_fd: {link_fd} control_fd: {control_fd} guest_mac: "{mac}" mtu: {MTU} '
            f'guest_ipv4: "{GUEST}" gateway_ipv4: "{GATEWAY}" guest_ipv6: "{GUEST6}" '
            f'gateway_ipv6: "{GATEWAY6}" {servers} policy {{ preset: "{policy}" {quoted(rules)} }} '
            f"limits {{ {limits} }} secrets {{ {secrets} }} "
            + " ".join(f'own_names: "{name}"' for name in names)
            + (' private_domains: "team.internal"' if names else ""))


def start_msb_net(binary, link, listener, log, enter=(), **options):
    text = spec_text(link.fileno(), listener.fileno(), **options)
    return start_program(binary, translate("--encode", "NetSpec", text.encode()),
                         [link.fileno(), listener.fileno()], log, enter)


def bridge(tap, wire, lose):
    """Frames of the tap to the wire, and back, less that share of them; ends when either does."""
    def out():
        while True:
            data = os.read(tap, 70000)
            if random.random() < lose:
                continue
            wire.sendall(struct.pack(">I", len(data)) + data)

    def back():
        stream = wire.makefile("rb", buffering=1 << 20)
        while header := stream.read(4):
            data = stream.read(struct.unpack(">I", header)[0])
            if random.random() < lose:
                continue
            try:
                os.write(tap, data)
            except OSError:
                pass
        os._exit(0)

    threading.Thread(target=back, daemon=True).start()
    try:
        out()
    except OSError:
        os._exit(0)


class NamespaceGuest(ControlProgram):
    def __init__(self, binary, lose=0, **options):
        super().__init__()
        listener = self.listen()
        ours, theirs = socket.socketpair()
        self.process = start_msb_net(binary, ours, listener, self.log, **options)
        ours.close()
        listener.close()
        ready, told = os.pipe()
        self.guest = os.fork()
        if self.guest == 0:
            self._be_guest(theirs, told, lose)
        theirs.close()
        os.close(told)
        if os.read(ready, 1) != b"1":
            raise RuntimeError("no network namespace for the guest")
        os.close(ready)

    def _be_guest(self, wire, told, lose):
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
                os._exit(1)
            tap = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH14x", b"eth0", IFF_TAP | IFF_NO_PI))
            with open("/proc/sys/net/ipv6/conf/eth0/accept_dad", "w", encoding="ascii") as setting:
                setting.write("0")
            mac = ":".join(f"{byte:02x}" for byte in GUEST_MAC)
            for line in ("link set lo up", f"link set eth0 address {mac} mtu {MTU} up",
                         f"addr add {GUEST}/{PREFIX} dev eth0", f"route add default via {GATEWAY}",
                         f"-6 addr add {GUEST6}/{PREFIX6} dev eth0 nodad",
                         f"-6 route add default via {GATEWAY6} dev eth0"):
                subprocess.run(["ip", *line.split()], check=True, stdin=subprocess.DEVNULL)
            os.write(told, b"1")
            bridge(tap, wire, lose)
        finally:
            os._exit(1)

    def command(self, *arguments):
        """In the guest's namespace, and with its name server."""
        resolver = os.path.join(self.directory, "resolv.conf")
        with open(resolver, "w", encoding="ascii") as file:
            file.write(f"nameserver {GATEWAY}\n")
        script = f'mount --bind {resolver} /etc/resolv.conf && exec "$@"'
        return ["nsenter", f"--net=/proc/{self.guest}/ns/net", "--", "unshare", "-m", "sh", "-c",
                script, "sh", *map(str, arguments)]

    def run(self, *arguments, timeout=60, check=False, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.command(*arguments), capture_output=True, timeout=timeout,
                              check=check, **options)

    def popen(self, *arguments, **options):
        return subprocess.Popen(self.command(*arguments), **options)

    def watch(self):
        """A connection that gets events, and a function that waits for one with all of the words."""
        client = self.send("id: 7 watch {}")
        client.settimeout(20)
        stream = client.makefile("rb")

        def wait(*words):
            while True:
                size = struct.unpack("<I", stream.read(4))[0]
                event = translate("--decode", "ControlResponse", stream.read(size)).decode()
                if all(word in event for word in words):
                    return event

        return client, wait

    def close(self):
        super().close()
        os.kill(self.guest, signal.SIGKILL)
        os.waitpid(self.guest, 0)
