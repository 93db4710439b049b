# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""A registry of the test's own (Debian's docker-registry), and images made for it with umoci.

    with Registry(directory, user="ann", password="secret", tls=True) as registry:
        registry.push(make_image(directory / "layout", [tree]), "team/tool", "1.0")
"""
import os
import pathlib
import shutil
import socket
import subprocess
import time

CONFIG = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
"""


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()[-2000:]}"
    return done.stdout


def missing_programs():
    return [name for name in ("docker-registry", "umoci", "skopeo", "htpasswd", "openssl")
            if shutil.which(name) is None]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificates(directory):
    """A CA and a certificate of it for localhost; returns CA, certificate and key."""
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key, cert, key = (directory / name for name in ("ca.crt", "ca.key", "tls.crt", "tls.key"))
    request, extensions = directory / "tls.csr", directory / "san.cnf"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
        "/CN=test CA", "-keyout", ca_key, "-out", ca)
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
        "-keyout", key, "-out", request)
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
        "-days", "2", "-extfile", extensions, "-out", cert)
    return ca, cert, key


class Registry:
    def __init__(self, directory, user="", password="", tls=False):
        self.directory = pathlib.Path(directory)
        self.user, self.password, self.tls = user, password, tls
        self.port = free_port()
        self.host = f"localhost:{self.port}"
        self.ca_pem = ""
        self.process = None

    def __enter__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(root=self.directory / "storage", port=self.port)
        if self.tls:
            ca, cert, key = make_certificates(self.directory / "tls")
            self.ca_pem = ca.read_text()
            text += f"  tls: {{certificate: {cert}, key: {key}}}\n"
        if self.user:
            passwords = self.directory / "htpasswd"
            passwords.write_bytes(run("htpasswd", "-Bbn", self.user, self.password))
            text += f"auth: {{htpasswd: {{realm: test, path: {passwords}}}}}\n"
        config = self.directory / "config.yml"
        config.write_text(text)
        self.log = open(self.directory / "log", "ab")
        environment = dict(os.environ, OTEL_TRACES_EXPORTER="none")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=self.log,
                                        stderr=self.log, env=environment)
        self._wait_until_it_answers()
        return self

    def _wait_until_it_answers(self):
        for _ in range(200):
            assert self.process.poll() is None, (self.directory / "log").read_text()[-2000:]
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("docker-registry does not listen")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()

    def destination_options(self):
        options = ["--dest-tls-verify=false"]
        if self.user:
            options += ["--dest-creds", f"{self.user}:{self.password}"]
        return options

    def push(self, source, repository, tag, *options):
        """`source` as skopeo names it ("oci:DIR:TAG"); returns the manifest's digest."""
        digest = self.directory / "pushed.digest"
        run("skopeo", "--insecure-policy", "copy", "--digestfile", digest, *options,
            *self.destination_options(), source, f"docker://{self.host}/{repository}:{tag}")
        return digest.read_text().strip()


def make_image(layout, layers, tag="latest", base=None):
    """An OCI layout at `layout` with one layer for each of `layers`, directories that become "/".

    With `base`, an image made before in the same layout, the layers come on top of its own.
    """
    layout = pathlib.Path(layout)
    if not layout.exists():
        run("umoci", "init", "--layout", layout)
    if base is None:
        run("umoci", "new", "--image", f"{layout}:{tag}")
    else:
        run("umoci", "tag", "--image", f"{layout}:{base}", tag)
    for tree in layers:
        run("umoci", "insert", "--image", f"{layout}:{tag}", tree, "/")
    return f"oci:{layout}:{tag}"
