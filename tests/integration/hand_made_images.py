# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Images with layers that no tool would make: in a registry, and as archives."""
import gzip
import hashlib
import io
import json
import platform
import subprocess
import tarfile
import urllib.request

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
# As images call this machine's.
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# How a layer's blob is made of its tar, by the end of its media type.
PACKED = {"": bytes, "+gzip": lambda tar: gzip.compress(tar, 9),
          "+zstd": lambda tar: subprocess.run(["zstd", "-c"], input=tar, stdout=subprocess.PIPE,
                                              check=True).stdout}


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class HandMade:
    """An image of these layers, each the bytes of a tar. `blobs`, `diff_ids`: other ones than theirs."""

    def __init__(self, tars, packing="+gzip", blobs=None, diff_ids=None):
        self.media_type = LAYER + packing
        self.blobs = blobs or [PACKED[packing](tar) for tar in tars]
        rootfs = {"type": "layers", "diff_ids": diff_ids or [digest_of(tar) for tar in tars]}
        self.config = json.dumps({"os": "linux", "architecture": ARCHITECTURE, "config": {},
                                  "rootfs": rootfs}).encode()

    def manifest(self):
        described = [{"mediaType": self.media_type, "digest": digest_of(blob), "size": len(blob)}
                     for blob in self.blobs]
        return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                           "config": {"mediaType": CONFIG, "digest": digest_of(self.config),
                                      "size": len(self.config)}, "layers": described}).encode()

    def push(self, registry, repository):
        """By the protocol itself, since tools look into what they push; returns the image's name."""
        place = f"http://{registry.host}/v2/{repository}"
        for blob in (self.config, *self.blobs):
            begun = _send("POST", f"{place}/blobs/uploads/")
            location = begun.headers["Location"]
            mark = "&" if "?" in location else "?"
            _send("PUT", f"{location}{mark}digest={digest_of(blob)}", blob, "application/octet-stream")
        _send("PUT", f"{place}/manifests/1", self.manifest(), MANIFEST)
        return f"{registry.host}/{repository}:1"

    def archive(self, path, name):
        """As docker save would write it."""
        with tarfile.open(path, "w") as archive:
            layers = [f"layer{number}" for number in range(len(self.blobs))]
            parts = {"manifest.json": json.dumps([{"Config": "config.json", "RepoTags": [name],
                                                   "Layers": layers}]).encode(),
                     "config.json": self.config, **dict(zip(layers, self.blobs))}
            for part, content in parts.items():
                info = tarfile.TarInfo(part)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path


def _send(method, url, data=None, content_type=None):
    headers = {"Content-Type": content_type} if content_type else {}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    return urllib.request.urlopen(request, timeout=60)


def many_files(count, folder="many"):
    """A tar of so many empty files; tarfile would take minutes for it."""
    head = tarfile.TarInfo(f"{folder}/{0:08}").tobuf(tarfile.USTAR_FORMAT)
    zeroes = head.index(b"0" * 8)
    sum_of_zeroes = sum(head[:148]) + 8 * 32 + sum(head[156:])
    tar = bytearray()
    for number in range(count):
        digits = b"%08d" % number
        checksum = sum_of_zeroes + sum(digits) - 8 * ord("0")
        tar += head[:zeroes] + digits + head[zeroes + 8:148] + b"%06o\0 " % checksum + head[156:]
    return bytes(tar + bytes(1024))
