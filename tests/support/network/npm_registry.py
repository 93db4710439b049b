# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""A registry of npm with one package, "greeting": run as a program, on port 4873 of all addresses.

Prints "ready" when it listens.
"""
import base64
import hashlib
import http.server
import io
import json
import tarfile

PORT = 4873
FILES = {"package/package.json": '{"name": "greeting", "version": "1.0.0"}',
         "package/index.js": "console.log('hello from npm')"}


def tarball():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


class Registry(http.server.BaseHTTPRequestHandler):
    """The two answers that an installation asks for."""

    package = tarball()

    def do_GET(self):
        body = self.package if self.path.endswith(".tgz") else self.document()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def document(self):
        digest = base64.b64encode(hashlib.sha512(self.package).digest()).decode()
        url = f"http://{self.headers['Host']}/greeting/-/greeting-1.0.0.tgz"
        version = {"name": "greeting", "version": "1.0.0",
                   "dist": {"tarball": url, "integrity": "sha512-" + digest}}
        return json.dumps({"name": "greeting", "dist-tags": {"latest": "1.0.0"},
                           "versions": {"1.0.0": version}}).encode()

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("0.0.0.0", PORT), Registry)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
