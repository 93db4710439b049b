# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""msb-secrets beside the msb-net of a guest in a namespace: what the daemon does for a machine.

    with SecretsProcess(binary, ca_file, [Secret("TOKEN", b"value", ["api.example.com"])]) as secrets:
        secrets.connect(guest)
        secrets.certificate  # PEM, of the authority that the guest is to believe
"""
import array
import os
import secrets as random
import socket
import struct
import subprocess
import tempfile

from namespace_guest import frame, translate


class Secret:
    def __init__(self, name, value, hosts):
        self.name, self.value, self.hosts = name, value, hosts
        self.placeholder = "msbsecret_" + random.token_hex(16)


def octal(data):
    return "".join(f"\\{byte:03o}" for byte in data)


class SecretsProcess:
    def __init__(self, binary, ca_file, secrets):
        self.secrets = secrets
        self.directory = tempfile.mkdtemp(prefix="msb-secrets-")
        self.path = os.path.join(self.directory, "control.sock")
        self.log = open(os.path.join(self.directory, "log"), "w+b")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(16)
        self.lifetime, theirs = socket.socketpair()
        store = os.open(ca_file, os.O_RDONLY)
        reader, writer = os.pipe()
        text = (f'id: "test" control_fd: {listener.fileno()} lifetime_fd: {theirs.fileno()} '
                f"ca_store_fd: {store}")
        os.write(writer, frame(translate("--encode", "SecretsSpec", text.encode(), "secrets")))
        os.close(writer)
        passed = [reader, listener.fileno(), theirs.fileno(), store]
        self.process = subprocess.Popen([binary, "--spec-fd", str(reader)], pass_fds=passed,
                                        stdin=subprocess.DEVNULL, stderr=self.log)
        for fd in (reader, store):
            os.close(fd)
        listener.close()
        theirs.close()
        self.set(secrets)
        self.certificate = self._certificate()

    def ask(self, text, descriptor=None):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
            rights = [] if descriptor is None else [
                (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
            request = translate("--encode", "SecretsRequest", text.encode(), "secrets")
            client.sendmsg([frame(request)], rights)
            length = struct.unpack("<I", client.recv(4, socket.MSG_WAITALL))[0]
            return client.recv(length, socket.MSG_WAITALL)

    def set(self, secrets):
        entries = ""
        for secret in secrets:
            hosts = " ".join(f'hosts: "{host}"' for host in secret.hosts)
            entries += (f'secrets {{ name: "{secret.name}" placeholder: "{secret.placeholder}" '
                        f'value: "{octal(secret.value)}" {hosts} }} ')
        self.ask(f"set {{ {entries} }}")

    def _certificate(self):
        answer = self.ask("certificate {}")
        return answer[answer.index(b"-----BEGIN"):].decode()

    @staticmethod
    def spec(secrets):
        """For NetSpec.secrets."""
        hosts = " ".join(f'hosts: "{host}"' for secret in secrets for host in secret.hosts)
        placeholders = " ".join(
            f'placeholders {{ name: "{s.name}" placeholder: "{s.placeholder}" }}' for s in secrets)
        return f"{hosts} {placeholders}"

    def connect(self, guest):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.ask("connect {}", ours.fileno())
            assert "ok" in guest.request("id: 1 connect_secrets {}", theirs.fileno())

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.lifetime.close()
        for name in os.listdir(self.directory):
            os.unlink(os.path.join(self.directory, name))
        os.rmdir(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
