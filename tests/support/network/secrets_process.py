# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""msb-secrets beside the msb-net of a guest in a namespace: what the daemon does for a machine.

    with SecretsProcess(binary, ca_file, [Secret("TOKEN", b"value", ["api.example.com"])]) as secrets:
        secrets.connect(guest)
        secrets.certificate  # PEM, of the authority that the guest is to believe
"""
import os
import secrets as random
import socket

from control_program import ControlProgram, start_program, translate


class Secret:
    def __init__(self, name, value, hosts):
        self.name, self.value, self.hosts = name, value, hosts
        self.placeholder = "msbsecret_" + random.token_hex(16)


def octal(data):
    return "".join(f"\\{byte:03o}" for byte in data)


class SecretsProcess(ControlProgram):
    FILE, REQUEST, RESPONSE = "secrets", "SecretsRequest", "SecretsResponse"

    def __init__(self, binary, ca_file, secrets, limits=""):
        super().__init__()
        self.secrets = secrets
        listener = self.listen()
        self.lifetime, theirs = socket.socketpair()
        store = os.open(ca_file, os.O_RDONLY)
        text = (f'id: "test" control_fd: {listener.fileno()} lifetime_fd: {theirs.fileno()} '
                f"ca_store_fd: {store} limits {{ {limits} }}")
        self.process = start_program(
            binary, translate("--encode", "SecretsSpec", text.encode(), self.FILE),
            [listener.fileno(), theirs.fileno(), store], self.log)
        os.close(store)
        listener.close()
        theirs.close()
        self.set(secrets)
        self.certificate = self._certificate()

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

    def close(self):
        super().close()
        self.lifetime.close()
