#!/usr/bin/env python3
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Runs msb-vmm by hand, without supervisor and jail: for looking at one machine.

    run_vmm.py --vmm build/dev/vmm/msb-vmm --kernel vmlinux --initramfs initramfs.cpio --directory /tmp/x

The directory gets control.sock, vsock.sock, console.log and exit_event. The console and the VMM's log go
to stdout; every event of the machine is printed with its time since this script started the process.
Needs protoc (it translates the messages), so nothing of Python's but its standard library.
"""
import argparse
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROTO = os.path.join(ROOT, "proto")


def encode(message: str, text: str) -> bytes:
    return translate("--encode", message, text.encode())


def decode(message: str, data: bytes) -> str:
    return translate("--decode", message, data).decode()


def translate(direction: str, message: str, data: bytes) -> bytes:
    files = ["vm_spec.proto", "control.proto"]
    command = ["protoc", f"{direction}=msb.vmm.v1.{message}", "-I", PROTO]
    command += [f"msb/vmm/v1/{name}" for name in files]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, cwd=PROTO).stdout


def frame(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload


def read_frame(stream: socket.socket):
    header = stream.recv(4, socket.MSG_WAITALL)
    if len(header) < 4:
        return None
    return stream.recv(struct.unpack("<I", header)[0], socket.MSG_WAITALL)


def request(directory: str, text: str) -> str:
    """One control request in protobuf's text form, for example `id: 1 status {}`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{directory}/control.sock")
        client.sendall(frame(encode("ControlRequest", text)))
        return decode("ControlResponse", read_frame(client))


class Machine:
    """One msb-vmm process with its sockets and files in `directory`."""

    def __init__(self, options):
        self.directory = options.directory
        os.makedirs(self.directory, exist_ok=True)
        self.descriptors = []
        spec = self.spec(options)
        reader, writer = os.pipe()
        os.write(writer, frame(encode("VmSpec", spec)))
        os.close(writer)
        self.descriptors.append(reader)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [options.vmm, "--spec-fd", str(reader)], pass_fds=self.descriptors, stdin=subprocess.DEVNULL)
        for descriptor in self.descriptors:
            os.close(descriptor)

    def open(self, path: str, flags: int) -> int:
        descriptor = os.open(path, flags, 0o600)
        self.descriptors.append(descriptor)
        return descriptor

    def listen(self, name: str) -> int:
        path = f"{self.directory}/{name}"
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(16)
        self.descriptors.append(listener.detach())
        return self.descriptors[-1]

    def serve(self, options, mount: str) -> int:
        """An msb-fs for `mount`, which ends with the machine."""
        path, _, mode = mount.partition(":")
        ours, theirs = socket.socketpair()
        directory = os.open(path, os.O_PATH | os.O_DIRECTORY)
        subprocess.Popen(
            [options.fs, "--socket-fd", str(theirs.fileno()), "--export",
             f"{directory}:{mode or 'rw'}"] + (["--pass-ids"] if os.getuid() == 0 else []),
            pass_fds=[theirs.fileno(), directory])
        theirs.close()
        os.close(directory)
        self.descriptors.append(ours.detach())
        return self.descriptors[-1]

    def spec(self, options) -> str:
        new_file = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        lines = [
            f'id: "by-hand" vcpus: {options.vcpus} memory_mib: {options.memory_mib}',
            f"kernel_fd: {self.open(options.kernel, os.O_RDONLY)}",
            f"control_fd: {self.listen('control.sock')}",
            f"console {{ fd: {self.open(self.directory + '/console.log', new_file)} }}",
            f"exit_event_fd: {self.open(self.directory + '/exit_event', new_file)}",
            f"vsock {{ guest_cid: {options.cid} listener_fd: {self.listen('vsock.sock')} }}",
            f"boot_timeout_ms: {options.boot_timeout_ms}",
            f"rng: {'true' if options.rng else 'false'}",
        ]
        if getattr(options, "net_mtu", 0):
            mac = "\\002\\000\\000\\000\\000\\001"
            lines.append(f'net {{ listener_fd: {self.listen("net.sock")} mac: "{mac}" '
                         f"mtu: {options.net_mtu} }}")
        if options.initramfs:
            lines.append(f"initramfs_fd: {self.open(options.initramfs, os.O_RDONLY)}")
        if options.balloon:
            lines.append("balloon { enabled: true deflate_on_oom: true free_page_reporting: true }")
        if options.command_line:
            lines.append(f'command_line: "{options.command_line}"')
        for i, disk in enumerate(options.disk):
            path, _, mode = disk.partition(":")
            flags = os.O_RDWR if mode == "rw" else os.O_RDONLY
            read_only = "false" if mode == "rw" else "true"
            lines.append(
                f'disks {{ id: "disk{i}" fd: {self.open(path, flags)} read_only: {read_only} }}')
        for i, mount in enumerate(getattr(options, "mount", [])):
            lines.append(f'file_systems {{ tag: "fs{i}" fd: {self.serve(options, mount)} }}')
        if options.engine == "kvm":
            emulated = "true" if options.emulated_ring0 else "false"
            kvm = self.open("/dev/kvm", os.O_RDWR)
            lines.append(f"engine: ENGINE_KVM kvm {{ kvm_fd: {kvm} emulated_ring0: {emulated} }}")
        else:
            lines.append(
                f'engine: ENGINE_QEMU qemu {{ directory: "{options.qemu}" accelerator: "tcg" }}')
        return "\n".join(lines)

    def print_events(self):
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{self.directory}/control.sock")
                client.sendall(frame(encode("ControlRequest", "id: 1 watch {}")))
                while payload := read_frame(client):
                    self.print_event(decode("ControlResponse", payload))
        except (ConnectionError, FileNotFoundError):
            pass  # the machine ended before it took clients

    def print_event(self, text: str):
        fields = dict(line.strip().split(": ", 1) for line in text.splitlines() if ": " in line)
        at = int(fields["monotonic_ns"]) / 1e9 - self.started
        print(f"[{at * 1e3:10.3f} ms] {fields['kind']} {fields.get('detail', '')}", flush=True)

    def print_console(self):
        with open(f"{self.directory}/console.log", "rb") as log:
            while True:
                ended = self.process.poll() is not None
                data = log.read()
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
                if ended:
                    return
                try:
                    self.process.wait(0.1)
                except subprocess.TimeoutExpired:
                    pass


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vmm", required=True)
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--initramfs")
    parser.add_argument("--directory", required=True)
    parser.add_argument("--command-line", default="")
    parser.add_argument("--disk", action="append", default=[], help="PATH, or PATH:rw")
    parser.add_argument("--mount", action="append", default=[],
                        help="DIRECTORY, or DIRECTORY:ro; virtio-fs tags fs0, fs1, ...; entry 0 of each")
    parser.add_argument("--fs", default="", help="msb-fs, for --mount")
    parser.add_argument("--vcpus", type=int, default=1)
    parser.add_argument("--memory-mib", type=int, default=128)
    parser.add_argument("--cid", type=int, default=3)
    parser.add_argument("--boot-timeout-ms", type=int, default=0)
    parser.add_argument("--engine", choices=["kvm", "qemu"], default="kvm")
    parser.add_argument("--emulated-ring0", action="store_true")
    parser.add_argument("--qemu", default="", help="QEMU's directory")
    parser.add_argument("--net-mtu", type=int, default=0, help="a network card, its wire at net.sock")
    parser.add_argument("--rng", action="store_true")
    parser.add_argument("--balloon", action="store_true")
    return parser.parse_args()


def main() -> int:
    machine = Machine(parse_options())
    signal.signal(signal.SIGINT, lambda *_: machine.process.terminate())
    signal.signal(signal.SIGTERM, lambda *_: machine.process.terminate())
    events = threading.Thread(target=machine.print_events)
    events.start()
    machine.print_console()
    events.join()
    return machine.process.wait()


if __name__ == "__main__":
    sys.exit(main())
