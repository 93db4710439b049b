# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Runs msb-image as the daemon does, without the daemon: a job in, events out.

A job is written in protobuf's text form and encoded by protoc; of the wire format nothing but what
events need is read here, so that no Python library has to be there.
"""
import hashlib
import json
import os
import pathlib
import socket
import struct
import subprocess

from conftest import BUILD

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
PROGRAM = BUILD / "image/msb-image"

# Field numbers of image.proto: the name, and the fields of a message or the type of a value.
LAYER_BUILT = {1: ("diff_id", str), 2: ("entries", int), 3: ("erofs_bytes", int)}
EVENT = {
    1: ("progress", {1: ("what", str), 2: ("done_bytes", int), 3: ("total_bytes", int)}),
    2: ("manifest", {1: ("manifest", bytes), 2: ("media_type", str), 3: ("digest", str),
                     4: ("index", bytes), 5: ("names", [str])}),
    3: ("blob_done", str),
    4: ("done", {1: ("layer", LAYER_BUILT), 2: ("bytes", int)}),
    5: ("error", {1: ("reason", int), 2: ("message", str)}),
}


def encode(spec):
    return subprocess.run(["protoc", "--encode=msb.image.v1.JobSpec", f"-I{PROTO}",
                           "msb/image/v1/image.proto"], input=spec.encode(), check=True,
                          stdout=subprocess.PIPE).stdout


def quote(text):
    return json.dumps(text)


def take_varint(data):
    value = shift = 0
    for used, byte in enumerate(data, 1):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, data[used:]
    raise ValueError("varint")


def empty(kind):
    return [] if isinstance(kind, list) else {} if isinstance(kind, dict) else kind()


def decode(data, schema):
    message = {name: empty(kind) for name, kind in schema.values()} if schema is not EVENT else {}
    while data:
        tag, data = take_varint(data)
        name, kind = schema[tag >> 3]
        value, data = take_varint(data)
        if tag & 7 == 2:
            value, data = data[:value], data[value:]
        if isinstance(kind, dict):
            message[name] = decode(value, kind)
        elif isinstance(kind, list):
            message[name].append(value.decode())
        else:
            message[name] = value.decode() if kind is str else kind(value)
    return message


class Job:
    """One run of msb-image. `body` is the job in text form; descriptors are passed as they are."""

    def __init__(self, body, descriptors=(), limits=None, program=(PROGRAM,), prepare=None):
        self.socket, theirs = socket.socketpair()
        settings = " ".join(f"{name}: {value}" for name, value in (limits or {}).items())
        spec = encode(f'id: "test" event_fd: {theirs.fileno()} {body} limits {{ {settings} }}')
        job_in, job_out = os.pipe()
        os.write(job_out, struct.pack("<I", len(spec)) + spec)
        os.close(job_out)
        self.process = subprocess.Popen(
            [*map(str, program), "--job-fd", str(job_in)], preexec_fn=prepare,
            pass_fds=[job_in, theirs.fileno(), *descriptors], stdin=subprocess.DEVNULL)
        os.close(job_in)
        theirs.close()
        self.stream = self.socket.makefile("rb")

    def next_event(self):
        """{"progress": {...}} and the like; None at the end of the stream."""
        head = self.stream.read(4)
        if len(head) < 4:
            return None
        return decode(self.stream.read(struct.unpack("<I", head)[0]), EVENT)

    def events(self):
        while (event := self.next_event()) is not None:
            yield event

    def hang_up(self):
        self.stream.close()
        self.socket.close()

    def finish(self, timeout=120):
        """All events that are left; the program's exit status is that of the last one."""
        events = list(self.events())
        status = self.process.wait(timeout=timeout)
        self.hang_up()
        assert events, f"no event, exit status {status}"
        assert status == (1 if "error" in events[-1] else 0)
        return events


class Pull:
    """A PullJob into a directory of its own."""

    def __init__(self, directory, registry, repository, reference, credentials=("", ""), trust=True,
                 architecture="amd64", present=(), endpoints=None, **job_options):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        ca_pem = registry.ca_pem if trust else ""
        hosts = " ".join(
            f"endpoints {{ host: {quote(host)} plain_http: {str(not registry.tls).lower()} "
            f"send_credentials: true extra_ca_pem: {quote(ca_pem)} }}"
            for host in endpoints or [registry.host])
        body = f"""pull {{
            registry: {quote(registry.host)} repository: {quote(repository)}
            reference: {quote(reference)} os: "linux" architecture: {quote(architecture)}
            blob_directory_fd: {self.descriptor}
            {" ".join(f"present: {quote(digest)}" for digest in present)}
            credentials {{ username: {quote(credentials[0])} password: {quote(credentials[1])} }}
            {hosts} }}"""
        self.job = Job(body, [self.descriptor], **job_options)

    def finish(self):
        events = self.job.finish()
        os.close(self.descriptor)
        return events

    def blobs(self):
        return whole_blobs(self.directory)


class Load:
    """A LoadJob into a directory of its own; `archive` is a descriptor, of a pipe or a file."""

    def __init__(self, directory, archive, architecture="amd64", **job_options):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        self.job = Job(f"""load {{ archive_fd: {archive} blob_directory_fd: {descriptor}
                           os: "linux" architecture: {quote(architecture)} }}""",
                       [descriptor, archive], **job_options)
        os.close(descriptor)

    def finish(self):
        return self.job.finish()

    def blobs(self):
        return whole_blobs(self.directory)


def load(directory, path, **options):
    """Loads the file at `path`; returns the events."""
    with open(path, "rb") as archive:
        return Load(directory, archive.fileno(), **options).finish()


def save(path, directory, images, **job_options):
    """A SaveJob of blobs in `directory` for `images`, pairs of names and the digest of a manifest."""
    digests = sorted(whole_blobs(directory))
    files = [open(pathlib.Path(directory) / digest.replace(":", "-"), "rb") for digest in digests]
    saved = " ".join(
        f"images {{ {' '.join(f'names: {quote(name)}' for name in names)} "
        f"manifest_digest: {quote(digest)} }}" for names, digest in images)
    blobs = " ".join(f"blobs {{ digest: {quote(digest)} fd: {file.fileno()} }}"
                     for digest, file in zip(digests, files))
    with open(path, "wb") as archive:
        events = Job(f"save {{ archive_fd: {archive.fileno()} {saved} {blobs} }}",
                     [archive.fileno(), *(file.fileno() for file in files)], **job_options).finish()
    for file in files:
        file.close()
    return events


def build_layer(tar, erofs, diff_id="", **job_options):
    """A BuildLayerJob of two files by their names."""
    with open(tar, "rb") as source, open(erofs, "w+b") as target:
        return Job(f"""build_layer {{ tar_fd: {source.fileno()} erofs_fd: {target.fileno()}
                       diff_id: {quote(diff_id)} }}""",
                   [source.fileno(), target.fileno()], **job_options).finish()


def whole_blobs(directory):
    """The digests of what is there; each file is held against its name."""
    found = set()
    for path in pathlib.Path(directory).glob("sha256-*"):
        if path.suffix == ".part":
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.name == f"sha256-{digest}"
        found.add(f"sha256:{digest}")
    return found


def manifests(events):
    return [event["manifest"] for event in events if "manifest" in event]


def error(events):
    """(reason, message) of a job that has failed."""
    failure = events[-1].get("error")
    assert failure, events[-1]
    return failure["reason"], failure["message"]
