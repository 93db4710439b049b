# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""A program of network/ as the daemon starts it: its specification and control socket as descriptors,
messages in protobuf's text form. Needs protoc, so nothing of Python's but its standard library."""
import array
import os
import shutil
import socket
import struct
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROTO = os.path.join(ROOT, "proto")


def translate(direction, message, data, file="net"):
    command = ["protoc", f"{direction}=msb.net.v1.{message}", "-I", PROTO, f"msb/net/v1/{file}.proto"]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, cwd=PROTO).stdout


def frame(payload):
    return struct.pack("<I", len(payload)) + payload


def start_program(binary, spec, passed, log, enter=()):
    """`spec`: a message, encoded; `passed`: the descriptors that it names."""
    reader, writer = os.pipe()
    os.write(writer, frame(spec))
    os.close(writer)
    process = subprocess.Popen([*enter, binary, "--spec-fd", str(reader)], pass_fds=[reader, *passed],
                               stdin=subprocess.DEVNULL, stderr=log)
    os.close(reader)
    return process


def seconds_of_cpu(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ControlProgram:
    # Set by who derives: the file of the messages, what is sent and what comes back.
    FILE, REQUEST, RESPONSE = "net", "ControlRequest", "ControlResponse"

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="msb-network-")
        self.control = os.path.join(self.directory, "control.sock")
        self.log = open(os.path.join(self.directory, "log"), "w+b")
        self.process = None

    def listen(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.control)
        listener.listen(16)
        return listener

    def send(self, text, descriptor=None):
        """A connection on which one request was sent."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.control)
        rights = [] if descriptor is None else [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        request = translate("--encode", self.REQUEST, text.encode(), self.FILE)
        client.sendmsg([frame(request)], rights)
        return client

    def ask(self, text, descriptor=None):
        """The answer to a request, encoded."""
        with self.send(text, descriptor) as client:
            length = struct.unpack("<I", client.recv(4, socket.MSG_WAITALL))[0]
            return client.recv(length, socket.MSG_WAITALL)

    def request(self, text, descriptor=None):
        """The answer in text form."""
        return translate("--decode", self.RESPONSE, self.ask(text, descriptor), self.FILE).decode()

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
