# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""msb-image loads what docker, podman and skopeo save, and saves what they load."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

import pytest
from image_job import Job, Load, build_layer, error, load, manifests, quote, save, whole_blobs
from registry import make_image, missing_programs, run

NOT_AN_IMAGE, MISMATCH, TOO_LARGE, UNSUPPORTED, NO_SPACE = 41, 46, 47, 48, 86


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """Two images in one OCI layout, with a layer in common."""
    if missing_programs():
        pytest.skip(f"needs {', '.join(missing_programs())}")
    directory = tmp_path_factory.mktemp("layout")
    for name in ("base", "first", "second"):
        (directory / name).mkdir()
        (directory / name / name).write_bytes(os.urandom(100_000))
    make_image(directory / "layout", [directory / "base"], tag="base")
    make_image(directory / "layout", [directory / "first"], tag="first", base="base")
    make_image(directory / "layout", [directory / "second"], tag="second", base="base")
    return directory / "layout"


def copy(source, destination, *options):
    run("skopeo", "--insecure-policy", "copy", *options, source, destination)


def diff_ids(source):
    """What an image is, whatever it is packed in: the hashes of its plain layers."""
    return json.loads(run("skopeo", "inspect", "--config", source))["rootfs"]["diff_ids"]


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("compression", ["cat", "gzip", "zstd"])
def test_archives_of_skopeo(layout, tmp_path, kind, compression):
    copy(f"oci:{layout}:first", f"{kind}:{tmp_path}/plain.tar:example.org/team/first:1")
    packed = tmp_path / "packed.tar"
    packed.write_bytes(subprocess.run([compression, "-c"] if compression != "cat" else ["cat"],
                                      stdin=open(tmp_path / "plain.tar", "rb"),
                                      stdout=subprocess.PIPE, check=True).stdout)
    events = load(tmp_path / "out", packed)

    (found,) = manifests(events)
    manifest = json.loads(found["manifest"])
    assert found["names"] == ["example.org/team/first:1"]
    assert len(manifest["layers"]) == 2
    named = {layer["digest"] for layer in manifest["layers"]} | {manifest["config"]["digest"]}
    assert whole_blobs(tmp_path / "out") == named
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        digest.replace(":", "-") for digest in named}
    config = json.loads(
        (tmp_path / "out" / manifest["config"]["digest"].replace(":", "-")).read_bytes())
    assert config["rootfs"]["diff_ids"] == diff_ids(f"oci:{layout}:first")


def test_an_archive_from_a_pipe(layout, tmp_path):
    copy(f"oci:{layout}:first", f"docker-archive:{tmp_path}/a.tar:first:1")
    with subprocess.Popen(["cat", tmp_path / "a.tar"], stdout=subprocess.PIPE) as cat:
        events = Load(tmp_path / "out", cat.stdout.fileno()).finish()
    assert cat.returncode == 0
    assert len(manifests(events)) == 1


def load_layout(layout, tmp_path):
    """A staging directory with both images' blobs, manifests included, and the manifests' digests."""
    with tarfile.open(tmp_path / "layout.tar", "w") as archive:
        archive.add(layout, ".")
    events = load(tmp_path / "blobs", tmp_path / "layout.tar")
    digests = {}
    for found in manifests(events):
        digest = f"sha256:{hashlib.sha256(found['manifest']).hexdigest()}"
        (tmp_path / "blobs" / digest.replace(":", "-")).write_bytes(found["manifest"])
        digests[found["names"][0]] = digest
    return digests


def test_an_archive_of_several_images_has_a_common_layer_once(layout, tmp_path):
    digests = load_layout(layout, tmp_path)
    assert set(digests) == {"base", "first", "second"}
    # Three manifests, three configurations, three layers.
    assert len(whole_blobs(tmp_path / "blobs")) == 9


def test_what_is_saved_others_load(layout, tmp_path):
    digests = load_layout(layout, tmp_path)
    images = [(["docker.io/library/first:1", "example.org/first:also"], digests["first"]),
              (["example.org/team/second:2"], digests["second"])]
    save(tmp_path / "saved.tar", tmp_path / "blobs", images)

    saved = tmp_path / "saved.tar"
    for kind, name, tag in [("docker-archive", "docker.io/library/first:1", "first"),
                            ("docker-archive", "example.org/team/second:2", "second"),
                            ("oci-archive", "also", "first"), ("oci-archive", "2", "second")]:
        copy(f"{kind}:{saved}:{name}", f"oci:{tmp_path}/check-{kind}:{tag}")
        assert diff_ids(f"oci:{tmp_path}/check-{kind}:{tag}") == diff_ids(f"oci:{layout}:{tag}")

    again = manifests(load(tmp_path / "again", saved))
    assert [(found["names"], found["digest"]) for found in again] == images


def test_the_same_images_make_the_same_archive(layout, tmp_path):
    digests = load_layout(layout, tmp_path)
    for name in ("one.tar", "two.tar"):
        save(tmp_path / name, tmp_path / "blobs", [(["a:1"], digests["first"])])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    listing = run("tar", "--numeric-owner", "-tvf", tmp_path / "one.tar").decode()
    assert "0/0" in listing and "1970-01-01" in listing


def test_a_damaged_store_is_not_saved(layout, tmp_path):
    digests = load_layout(layout, tmp_path)
    victim = json.loads((tmp_path / "blobs" / digests["first"].replace(":", "-")).read_bytes())
    descriptors = [open(tmp_path / "blobs" / name.replace(":", "-"), "rb") for name in (
        digests["first"], victim["config"]["digest"],
        *(layer["digest"] for layer in victim["layers"]))]
    with open(tmp_path / "blobs" / victim["layers"][0]["digest"].replace(":", "-"), "r+b") as file:
        file.seek(100)
        file.write(b"damage")
    names = [os.path.basename(file.name).replace("-", ":") for file in descriptors]
    blobs = " ".join(f"blobs {{ digest: {quote(name)} fd: {file.fileno()} }}"
                     for name, file in zip(names, descriptors))
    with open(tmp_path / "saved.tar", "wb") as archive:
        job = Job(f"""save {{ archive_fd: {archive.fileno()} {blobs}
                      images {{ manifest_digest: {quote(digests['first'])} }} }}""",
                  [archive.fileno(), *(file.fileno() for file in descriptors)])
        assert error(job.finish())[0] == MISMATCH


def test_a_layer_of_an_archive_becomes_a_file_system(layout, tmp_path):
    copy(f"oci:{layout}:first", f"oci-archive:{tmp_path}/a.tar:first")
    (found,) = manifests(load(tmp_path / "out", tmp_path / "a.tar"))
    blob = json.loads(found["manifest"])["layers"][1]["digest"].replace(":", "-")
    diff_id = diff_ids(f"oci:{layout}:first")[1]
    done = build_layer(tmp_path / "out" / blob, tmp_path / "layer.erofs", diff_id)[-1]["done"]
    assert done["layer"]["diff_id"] == diff_id
    assert done["layer"]["erofs_bytes"] == (tmp_path / "layer.erofs").stat().st_size
    run("fsck.erofs", tmp_path / "layer.erofs")
    wrong = build_layer(tmp_path / "out" / blob, tmp_path / "wrong.erofs", "sha256:" + "0" * 64)
    assert error(wrong)[0] == MISMATCH


class Archive:
    """A tar made by hand."""

    def __init__(self, path):
        self.path = path
        self.tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)

    def file(self, name, content):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content))
        return name

    def special(self, name, kind, target=""):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        self.tar.addfile(info)

    def sparse(self, name, size):
        """A byte, then a hole, as GNU tar writes it in pax's form."""
        content = b"1\n0\n1\n".ljust(512, b"\0") + b"x"
        info = tarfile.TarInfo(name)
        info.size = len(content)
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                            "GNU.sparse.name": name, "GNU.sparse.realsize": str(size)}
        self.tar.addfile(info, io.BytesIO(content))

    def close(self):
        self.tar.close()
        return self.path


def plain_layer(content=b"x"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def config_of(*layers, architecture="amd64"):
    ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    return json.dumps({"os": "linux", "architecture": architecture,
                       "rootfs": {"type": "layers", "diff_ids": ids}}).encode()


def test_an_old_docker_save_with_links_in_any_order(tmp_path):
    """Before docker 25 a layer that is there twice is a symbolic link."""
    layer = plain_layer()
    config = config_of(layer, layer)
    archive = Archive(tmp_path / "old.tar")
    archive.file("manifest.json", json.dumps([
        {"Config": "config.json", "RepoTags": ["old:1", "old:2"],
         "Layers": ["aa/layer.tar", "bb/layer.tar"]}]).encode())
    archive.special("bb/layer.tar", tarfile.SYMTYPE, "../aa/layer.tar")
    archive.file("config.json", config)
    archive.file("aa/VERSION", b"1.0")
    archive.file("aa/layer.tar", layer)
    (found,) = manifests(load(tmp_path / "out", archive.close()))
    manifest = json.loads(found["manifest"])
    assert found["names"] == ["old:1", "old:2"]
    assert [item["mediaType"] for item in manifest["layers"]] == [
        "application/vnd.oci.image.layer.v1.tar"] * 2
    assert len(whole_blobs(tmp_path / "out")) == 2


def docker_archive(path, change):
    """A small, good archive of docker's, but for what `change` does to its parts."""
    layer = plain_layer()
    parts = {"config.json": config_of(layer), "layer.tar": layer,
             "manifest.json": [{"Config": "config.json", "RepoTags": ["a:1"],
                                "Layers": ["layer.tar"]}]}
    archive = Archive(path)
    change(archive, parts)
    for name, content in parts.items():
        archive.file(name, content if isinstance(content, bytes) else json.dumps(content).encode())
    return archive.close()


HOSTILE = {
    "absolute": (NOT_AN_IMAGE, "name", lambda a, p: a.file("/etc/passwd", b"x")),
    "dot-dot": (NOT_AN_IMAGE, "name", lambda a, p: a.file("a/../../b", b"x")),
    "link-out": (NOT_AN_IMAGE, "leads out",
                 lambda a, p: a.special("l", tarfile.SYMTYPE, "../../etc")),
    "link-absolute": (NOT_AN_IMAGE, "leads out",
                      lambda a, p: a.special("l", tarfile.SYMTYPE, "/etc/passwd")),
    "hard-link-out": (NOT_AN_IMAGE, "leads out",
                      lambda a, p: a.special("l", tarfile.LNKTYPE, "../x")),
    "device": (NOT_AN_IMAGE, "neither", lambda a, p: a.special("d", tarfile.CHRTYPE)),
    "fifo": (NOT_AN_IMAGE, "neither", lambda a, p: a.special("f", tarfile.FIFOTYPE)),
    "sparse": (NOT_AN_IMAGE, "sparse", lambda a, p: a.sparse("s", 1 << 20)),
    "twice": (NOT_AN_IMAGE, "twice", lambda a, p: a.file("layer.tar", b"other")),
    "link-loop": (NOT_AN_IMAGE, "lacks", lambda a, p: (
        p.pop("layer.tar"), a.special("layer.tar", tarfile.SYMTYPE, "layer.tar"))),
    "missing-layer": (NOT_AN_IMAGE, "lacks", lambda a, p: p.pop("layer.tar")),
    "missing-config": (NOT_AN_IMAGE, "lacks", lambda a, p: p.pop("config.json")),
    "no-manifest": (NOT_AN_IMAGE, "no image", lambda a, p: p.pop("manifest.json")),
    "layer-count": (NOT_AN_IMAGE, "layers", lambda a, p: p.update({"config.json": config_of()})),
    "no-json": (NOT_AN_IMAGE, "JSON", lambda a, p: p.update({"manifest.json": b"[" * 100_000})),
    "platform": (UNSUPPORTED, "linux/s390x", lambda a, p: p.update(
        {"config.json": config_of(plain_layer(), architecture="s390x")})),
    "wrong-digest": (MISMATCH, "digest", lambda a, p: a.file("blobs/sha256/" + "0" * 64, b"x")),
    "many-entries": (TOO_LARGE, "entries",
                     lambda a, p: [a.file(f"f{number}", b"") for number in range(33_000)]),
    "large-manifest": (TOO_LARGE, "bytes", lambda a, p: p.update(
        {"manifest.json": b"[" + b" " * (5 << 20) + b"]"})),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_leave_nothing(tmp_path, case):
    reason, words, change = HOSTILE[case]
    code, message = error(load(tmp_path / "out", docker_archive(tmp_path / "a.tar", change)))
    assert (code, words in message) == (reason, True), message
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bomb_and_limits(tmp_path):
    small = docker_archive(tmp_path / "a.tar", lambda a, p: a.file("zeroes", bytes(64 << 20)))
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(gzip.compress(small.read_bytes(), 9))
    for path, limits, reason, words in [
            (bomb, {"max_compression_ratio": 200}, TOO_LARGE, "times its size"),
            (small, {"max_blob_bytes": 1 << 20}, TOO_LARGE, "images.max_blob_mib"),
            (small, {"max_image_bytes": 1 << 20}, TOO_LARGE, "images.max_image_mib"),
            (small, {"room_bytes": 1 << 20}, NO_SPACE, "images.store_mib")]:
        code, message = error(load(tmp_path / "out", path, limits=limits))
        assert (code, words in message) == (reason, True), message
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"\x1f\x8b\x08\x00garbage",
                                     b"\x28\xb5\x2f\xfdgarbage", bytes(10240)],
                         ids=["empty", "text", "gzip", "zstd", "zeroes"])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    code, _ = error(load(tmp_path / "out", tmp_path / "a.tar"))
    assert code == NOT_AN_IMAGE


def test_a_truncated_archive_leaves_nothing(layout, tmp_path):
    copy(f"oci:{layout}:first", f"docker-archive:{tmp_path}/a.tar:first:1")
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:len(whole) // 2])
    assert error(load(tmp_path / "out", tmp_path / "cut.tar"))[0] == NOT_AN_IMAGE
    assert list((tmp_path / "out").iterdir()) == []
