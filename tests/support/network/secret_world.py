# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""World with HTTPS servers that secrets go to, their authority, and a git repository behind one."""
from world import NAMES, SUPPORT, WEB, WEB2, World, run

API, EVIL = "api.example.com", "evil.org"


def authority(directory, name):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", f"/CN={name}", "-keyout", directory / f"{name}.key",
        "-out", directory / f"{name}.crt")


def certificate(directory, name, hosts, issuer=None):
    """NAME.pem: key and certificate; without hosts one that has API as its common name alone."""
    key, crt, csr = (directory / f"{name}.{end}" for end in ("key", "crt", "csr"))
    extensions = directory / f"{name}.ext"
    names = ",".join(f"DNS:{host}" for host in hosts)
    extensions.write_text(f"subjectAltName={names}\n" if hosts else "basicConstraints=CA:FALSE\n")
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
        f"/CN={hosts[0] if hosts else API}", "-keyout", key, "-out", csr)
    signer = (["-CA", directory / f"{issuer}.crt", "-CAkey", directory / f"{issuer}.key",
               "-CAcreateserial"] if issuer else ["-signkey", key])
    run("openssl", "x509", "-req", "-in", csr, "-days", "2", "-extfile", extensions, *signer,
        "-out", crt)
    (directory / f"{name}.pem").write_bytes(key.read_bytes() + crt.read_bytes())


def repository(directory):
    work, bare = directory / "work", directory / "repository"
    run("git", "init", "-q", work)
    (work / "file").write_text("of the repository\n")
    run("git", "-C", work, "add", "file")
    run("git", "-C", work, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "one")
    run("git", "clone", "-q", "--bare", work, bare)
    run("git", "-C", bare, "update-server-info")
    return bare


class SecretWorld(World):
    def __init__(self, directory, binary):
        super().__init__(directory, binary)
        self.set_names(NAMES | {API: [WEB], EVIL: [WEB2], "sub.api.example.com": [WEB]})
        authority(directory, "ca")
        certificate(directory, "good", [API, "example.com", "*.example.com", EVIL], "ca")
        certificate(directory, "wrong", ["somebody.else.org"], "ca")
        certificate(directory, "self", [API])
        certificate(directory, "common", [], "ca")
        self.servers.append(self.start(self.internet, SUPPORT + "/secret_servers.py", directory,
                                       repository(directory)))
