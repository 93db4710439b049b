# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""A connection to guests/vsock_peer.c."""
import socket
import struct
import time

BOOT_SECONDS = 60


class Line:
    """Through the Unix socket of a vsock device."""

    def __init__(self, path, port=1024):
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._connect(str(path), port):  # the guest still boots
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody answers behind {path}")
            time.sleep(0.05)

    def _connect(self, path, port):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(BOOT_SECONDS)
        try:
            self.socket.connect(path)
            self.socket.sendall(f"CONNECT {port}\n".encode())
            if self.socket.recv(64).startswith(b"OK"):
                return True
        except OSError:
            pass
        self.socket.close()
        return False

    def into(self, mib):
        """MiB/s."""
        data = bytes(1 << 20)
        start = time.monotonic()
        self.socket.sendall(struct.pack("<cQ", b"S", mib << 20))
        for _ in range(mib):
            self.socket.sendall(data)
        assert self.socket.recv(1) == b"!"
        return mib / (time.monotonic() - start)

    def out_of(self, mib):
        """MiB/s."""
        start = time.monotonic()
        self.socket.sendall(struct.pack("<cQ", b"G", mib << 20))
        left = mib << 20
        while left > 0:
            left -= len(self.socket.recv(min(left, 1 << 20)))
        return mib / (time.monotonic() - start)
