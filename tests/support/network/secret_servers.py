# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""HTTPS servers that secrets go to, and some that they must not: each tells what it was sent.

    secret_servers.py DIRECTORY REPOSITORY

DIRECTORY has NAME.pem (key and certificate) for good, wrong, self, common. REPOSITORY is served to
whoever knows the password of git. Prints "ready" when all listen.

8443 answers with the request as JSON, or speaks another protocol when asked to upgrade; 8444 has a
certificate for another name, 8445 one that nobody vouches for; 8446 ends in the middle of the handshake;
8447 sends an answer that never ends its head; 8448 shows what it was sent byte for byte; 8449 has a
certificate whose common name alone is right.
"""
import base64
import http.server
import json
import os
import socket
import ssl
import sys
import threading

GIT_PASSWORD = "git-password-0123456789"


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self):
        if self.headers.get("Upgrade"):
            return self.upgrade()
        if self.path.startswith("/repository"):
            return self.serve_git()
        told = {"method": self.command, "path": self.path, "headers": self.headers.items(),
                "body": self.read_body().decode("latin-1")}
        if self.path.startswith("/quiet"):  # nothing of the secret comes back
            self.server.seen.append(told)
            told = {"seen": len(self.server.seen)}
        if self.path == "/seen":
            told = self.server.seen
        # In a spelling that nothing recognises, so that the tests see what was sent.
        body = base64.b64encode(json.dumps(told).encode())
        if self.path.startswith("/plain"):
            body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def upgrade(self):
        self.send_response_only(101)
        self.send_header("Upgrade", "test")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        while line := self.rfile.readline():
            self.wfile.write(b"heard " + line)

    def serve_git(self):
        expected = "Basic " + base64.b64encode(f"user:{GIT_PASSWORD}".encode()).decode()
        path = sys.argv[2] + self.path.split("?")[0][len("/repository"):]
        if self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        found = os.path.isfile(path)
        data = open(path, "rb").read() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_expect_100(self):
        self.server.expected += 1
        return super().handle_expect_100()

    def log_message(self, *_):
        pass


def context(name):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(os.path.join(sys.argv[1], name + ".pem"))
    return made


def serve(port, certificate):
    server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Echo)
    server.seen, server.expected = [], 0
    server.socket = context(certificate).wrap_socket(server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def serve_raw(port, handler):
    listener = socket.create_server(("0.0.0.0", port), backlog=64)

    def loop():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=handler, args=(connection,), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def cut_handshake(connection):
    connection.recv(100)
    connection.close()


def endless_head(connection):
    try:
        with context("good").wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\n")
            for number in range(3000):
                tls.sendall(f"X-{number}: {'y' * 1000}\r\n".encode())
    except OSError:
        pass


def show_bytes(connection):
    try:
        with context("good").wrap_socket(connection, server_side=True) as tls:
            tls.settimeout(1)
            data = b""
            try:
                while part := tls.recv(65536):
                    data += part
            except TimeoutError:
                pass
            tls.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + base64.b64encode(data))
            tls.unwrap()
    except OSError:
        pass


def main():
    serve(8443, "good")
    serve(8444, "wrong")
    serve(8445, "self")
    serve(8449, "common")
    serve_raw(8446, cut_handshake)
    serve_raw(8447, endless_head)
    serve_raw(8448, show_bytes)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
