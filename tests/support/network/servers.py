# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Servers for the network's tests, in a namespace of their own: DNS, HTTP, HTTPS, UDP echo, and one that
speaks first, as SMTP does.

    servers.py CERTIFICATE KEY NAMES

NAMES is a JSON file, read anew for each look-up: {"name": ["address", ...]}. Prints "ready" when all
listen.
"""
import http.server
import ipaddress
import json
import socket
import socketserver
import ssl
import struct
import sys
import threading

TTL = 1


def answer(query, names):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    name = ".".join(labels).lower()
    kind = struct.unpack(">H", query[at + 1:at + 3])[0]
    question = query[12:at + 5]
    with open(names, encoding="utf-8") as file:
        known = json.load(file).get(name)
    records = b""
    count = 0
    for text in known or []:
        address = ipaddress.ip_address(text)
        if kind == {4: 1, 6: 28}[address.version]:
            count += 1
            records += (b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, TTL, len(address.packed))
                        + address.packed)
    code = 0 if known is not None else 3
    return query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0) + question + records


class Dns(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(answer(data, sys.argv[3]), self.client_address)


class DnsOverTcp(socketserver.StreamRequestHandler):
    def handle(self):
        while length := self.rfile.read(2):
            reply = answer(self.rfile.read(struct.unpack(">H", length)[0]), sys.argv[3])
            self.wfile.write(struct.pack(">H", len(reply)) + reply)


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data, self.client_address)


class SpeaksFirst(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready\r\n")
        self.wfile.write(b"250 " + self.rfile.readline())


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.server.server_name_shown} {self.client_address[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def dual(server, family):
    return type(server.__name__, (server,), {"address_family": family, "allow_reuse_address": True,
                                             "daemon_threads": True, "request_queue_size": 1024})


def serve(server, handler, port, family, wrap=None, shown=""):
    instance = dual(server, family)(("::" if family == socket.AF_INET6 else "0.0.0.0", port), handler,
                                    bind_and_activate=False)
    if family == socket.AF_INET6:
        instance.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    instance.server_bind()
    instance.server_activate()
    instance.server_name_shown = shown
    if wrap:
        instance.socket = wrap.wrap_socket(instance.socket, server_side=True,
                                           do_handshake_on_connect=False)
    threading.Thread(target=instance.serve_forever, daemon=True).start()


def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[1], sys.argv[2])
    for family in (socket.AF_INET, socket.AF_INET6):
        serve(socketserver.ThreadingUDPServer, Dns, 53, family)
        serve(socketserver.ThreadingTCPServer, DnsOverTcp, 53, family)
        serve(socketserver.ThreadingUDPServer, Echo, 7, family)
        serve(socketserver.ThreadingTCPServer, SpeaksFirst, 25, family)
        serve(socketserver.ThreadingTCPServer, Web, 80, family, shown="http")
        serve(socketserver.ThreadingTCPServer, Web, 8080, family, shown="other")
        serve(socketserver.ThreadingTCPServer, Web, 443, family, tls, shown="https")
        # Where DNS over TLS and QUIC would be: what is refused there is refused by the policy.
        serve(socketserver.ThreadingTCPServer, Web, 853, family, shown="853")
        serve(socketserver.ThreadingUDPServer, Echo, 443, family)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
