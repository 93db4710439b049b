# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""The surroundings of a guest in a namespace: three network namespaces, the guest's, the "host" that
msb-net runs in, and the "Internet" with servers and an authority that vouches for their names.
"""
import json
import os
import subprocess
import sys

from namespace_guest import NamespaceGuest

SUPPORT = os.path.dirname(os.path.abspath(__file__))
# Addresses as the Internet has them: what is special is refused by its number.
HOST, HOST6 = "93.184.216.1", "2606:2800:220:1::1"
WEB, WEB2 = "93.184.216.34", "93.184.216.35"
DNS = WEB  # the first of its server's addresses, which UDP answers from
WEB6 = "2606:2800:220:1::34"
PRIVATE, METADATA = "10.9.0.1", "169.254.169.254"
NAMES = {
    "example.com": [WEB, WEB6],
    "www.example.com": [WEB],
    "other.org": [WEB2],
    "rebind.example.com": [PRIVATE],
    "half.example.com": [WEB, PRIVATE],
    "loop.example.com": ["127.0.0.1"],
    "cloud.example.com": [METADATA],
    "moving.example.com": [WEB],
}


def run(*arguments):
    subprocess.run([str(a) for a in arguments], check=True, stdin=subprocess.DEVNULL,
                   capture_output=True)


class World:
    """The namespaces of "host" and "Internet", a link between them, and the servers."""

    def __init__(self, directory, binary):
        self.directory = directory
        self.binary = binary
        self.names = directory / "names.json"
        self.set_names(NAMES)
        self.host, self.internet = self.namespace(), self.namespace()
        run("ip", "link", "add", "up0", "netns", self.host.pid, "type", "veth", "peer", "name", "dn0",
            "netns", self.internet.pid)
        for ns, device, addresses in ((self.host, "up0", [f"{HOST}/24", f"{HOST6}/64"]),
                                      (self.internet, "dn0",
                                       [f"{WEB}/24", f"{WEB2}/24", f"{WEB6}/64"])):
            self.inside(ns, "ip", "link", "set", "lo", "up")
            self.inside(ns, "ip", "link", "set", device, "up")
            for address in addresses:
                nodad = ["nodad"] if ":" in address else []
                self.inside(ns, "ip", "addr", "add", address, "dev", device, *nodad)
        for address in (PRIVATE, METADATA):
            self.inside(self.internet, "ip", "addr", "add", f"{address}/32", "dev", "dn0")
            self.inside(self.host, "ip", "route", "add", address, "dev", "up0")
        certificate, key = directory / "cert.pem", directory / "key.pem"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
            "/CN=example.com", "-keyout", key, "-out", certificate)
        self.servers = [self.start(self.internet, SUPPORT + "/servers.py", certificate, key, self.names),
                        self.start(self.host, SUPPORT + "/servers.py", certificate, key, self.names)]

    @staticmethod
    def namespace():
        process = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo made; exec sleep infinity"],
                                   stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert process.stdout.readline() == b"made\n"
        return process

    @staticmethod
    def enter(ns):
        return ["nsenter", f"--net=/proc/{ns.pid}/ns/net", "--"]

    def inside(self, ns, *arguments):
        run(*self.enter(ns), *arguments)

    def start(self, ns, script, *arguments):
        process = subprocess.Popen([*self.enter(ns), sys.executable, script, *map(str, arguments)],
                                   stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert process.stdout.readline() == b"ready\n"
        return process

    def start_program(self, ns, code, *arguments):
        """Code of Python's, which has said "up" when this returns."""
        process = subprocess.Popen([*self.enter(ns), sys.executable, "-c", code, *arguments],
                                   stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert process.stdout.readline() == b"up\n"
        return process

    def set_names(self, names):
        new = self.names.with_suffix(".new")
        new.write_text(json.dumps(names))
        new.rename(self.names)

    def guest(self, policy, *rules, **options):
        return NamespaceGuest(self.binary, enter=self.enter(self.host), policy=policy, rules=rules,
                              dns=(DNS,), **options)

    def close(self):
        for process in [*self.servers, self.host, self.internet]:
            process.kill()
            process.wait()
