# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Images that are made to do harm, through the daemon: each is refused with its reason, nothing of it
stays, and the next good image runs."""
import contextlib
import gzip
import io
import json
import os
import pathlib
import signal
import subprocess
import tarfile
import threading

import pytest
from hand_made_images import HandMade, digest_of, many_files
from layer_images import Layer, base_layer
from registry import Registry, missing_programs
from test_image_archive import HOSTILE as HOSTILE_ARCHIVES
from test_image_archive import MISMATCH, NOT_AN_IMAGE, TOO_LARGE, UNSUPPORTED, docker_archive
from test_images import files, image_processes, reason, stored, wait_until

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason=f"needs {missing_programs()}")

REASONS = {NOT_AN_IMAGE: "IMAGE_INVALID", MISMATCH: "IMAGE_DIGEST_MISMATCH",
           TOO_LARGE: "IMAGE_TOO_LARGE", UNSUPPORTED: "IMAGE_UNSUPPORTED"}
SYMLINK, HARD_LINK = {"type": tarfile.SYMTYPE}, {"type": tarfile.LNKTYPE}
MIB = 1 << 20


def symlink(name, target):
    return Layer().add(name, **SYMLINK, linkname=target)


def hard_link(target):
    return Layer().add("file", b"x").add("evil", **HARD_LINK, linkname=target)


def of(layer):
    return HandMade([layer.bytes()])


def announced(size):
    """A file of so many bytes, none of which are there."""
    info = tarfile.TarInfo("large")
    info.size = size
    return HandMade([info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)])


def cut(layer):
    packed = gzip.compress(layer.bytes())
    return packed[:len(packed) // 2]


# Some 100 to one.
def compressible(size):
    return (os.urandom(1024) * (size // 1024 + 1))[:size]


# Beyond what limits() allows: why it is refused, and what is told of it.
HOSTILE_LAYERS = {
    "dot-dot": ("IMAGE_INVALID", "'..'", lambda: of(Layer().add("../../evil", b"x"))),
    "dot-dot-inside": ("IMAGE_INVALID", "'..'", lambda: of(Layer().add("a/../../evil", b"x"))),
    "absolute-dot-dot": ("IMAGE_INVALID", "'..'", lambda: of(Layer().add("/../evil", b"x"))),
    "through-a-link": ("IMAGE_INVALID", "symbolic link",
                       lambda: of(symlink("out", "/etc").add("out/evil", b"x"))),
    "through-a-relative-link": ("IMAGE_INVALID", "symbolic link",
                                lambda: of(symlink("out", "../../..").add("out/etc/evil", b"x"))),
    "folder-through-a-link": ("IMAGE_INVALID", "symbolic link",
                              lambda: of(symlink("out", "/etc").directory("out/evil"))),
    "whiteout-through-a-link": ("IMAGE_INVALID", "symbolic link",
                                lambda: of(symlink("out", "/etc").add("out/.wh.passwd"))),
    "hard-link-out": ("IMAGE_INVALID", "'..'", lambda: of(hard_link("../../etc/passwd"))),
    "hard-link-absolute": ("IMAGE_INVALID", "evil", lambda: of(hard_link("/etc/shadow"))),
    "hard-link-through-a-link": (
        "IMAGE_INVALID", "evil",
        lambda: of(symlink("out", "/etc").add("evil", **HARD_LINK, linkname="out/passwd"))),
    "whiteout-of-nothing": ("IMAGE_INVALID", "whiteout", lambda: of(Layer().add(".wh..."))),
    "file-as-root": ("IMAGE_INVALID", "root", lambda: of(Layer().add("./", b"x"))),
    "no-tar": ("IMAGE_INVALID", "", lambda: HandMade([os.urandom(4096)])),
    "cut-short": ("IMAGE_INVALID", "cut short",
                  lambda: HandMade([b"x"], blobs=[cut(Layer().add("file", os.urandom(MIB)))])),
    "bomb-of-zeroes": ("IMAGE_TOO_LARGE", "times",
                       lambda: of(Layer().add("zeroes", bytes(24 * MIB)))),
    "bomb-of-a-pattern": ("IMAGE_TOO_LARGE", "bytes",
                          lambda: of(Layer().add("pattern", compressible(48 * MIB)))),
    "bomb-in-its-head": ("IMAGE_TOO_LARGE", "bytes", lambda: announced(1 << 50)),
    "many-entries": ("IMAGE_TOO_LARGE", "images.max_entries", lambda: HandMade([many_files(1001)])),
    "deep": ("IMAGE_TOO_LARGE", "", lambda: of(Layer().add("/".join("d" * 2000), b"x"))),
    "many-layers": ("IMAGE_TOO_LARGE", "", lambda: HandMade([many_files(i) for i in range(9)])),
    "wrong-diff-id": ("IMAGE_DIGEST_MISMATCH", "diff id",
                      lambda: HandMade([many_files(1)], diff_ids=[digest_of(b"another")])),
    "bzip2": ("IMAGE_UNSUPPORTED", "bzip2",
              lambda: HandMade([b"x"], blobs=[b"BZh91AY&SY" + os.urandom(1000)])),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry")) as server:
        HandMade([base_layer().bytes()]).push(server, "test/good")
        yield server


def limits(registry, more=""):
    return ('[sandbox]\nengine = "qemu"\nstart_timeout = "5m"\n'
            f'[images]\nplain_http = ["{registry.host}"]\n{more}')


@pytest.fixture(scope="module")
def strict(new_daemon, registry):
    """A daemon with low limits, which a good image does not meet."""
    return new_daemon(limits(registry, "max_layer_mib = 32\nmax_entries = 1000\nmax_layers = 8\n"
                                       "max_compression_ratio = 500\nmax_archive_entries = 100\n"))


@pytest.fixture(scope="module")
def usual(new_daemon, registry):
    return new_daemon(limits(registry))


def nothing_is_left(daemon):
    return stored(daemon) == [] and all(
        files(daemon, folder) == []
        for folder in ("staging", "trash", "blobs/sha256", "layers/sha256"))


def runs_a_good_image(daemon, registry):
    name = f"{registry.host}/test/good:1"
    daemon.msbctl("image", "pull", name)
    made = daemon.msbctl("run", "--image", name, "--pull", "never", "--", "cat", "/etc/changed")
    daemon.msbctl("image", "rm", name)
    return made.stdout == b"old"


def refuse(daemon, *call, expected, words=""):
    failed = daemon.msbctl("image", *call, check=False)
    assert failed.returncode == 1 and reason(failed) == expected, failed.stderr
    assert words in failed.stderr.decode(), failed.stderr
    assert nothing_is_left(daemon)


@pytest.mark.parametrize("case", HOSTILE_LAYERS)
def test_a_hostile_layer_is_refused_and_leaves_nothing(strict, registry, tmp_path, case):
    expected, words, make = HOSTILE_LAYERS[case]
    image = make()
    name = image.push(registry, f"hostile/{case}")
    refuse(strict, "pull", name, expected=expected, words=words)
    archive = image.archive(tmp_path / "archive.tar", f"hostile/{case}:1")
    refuse(strict, "load", "-i", archive, expected=expected)


@pytest.mark.parametrize("case", HOSTILE_ARCHIVES)
def test_a_hostile_archive_is_refused_and_leaves_nothing(strict, tmp_path, case):
    code, words, change = HOSTILE_ARCHIVES[case]
    archive = docker_archive(tmp_path / "a.tar", change)
    refuse(strict, "load", "-i", archive, expected=REASONS[code], words=words)


def test_after_all_that_a_good_image_runs(strict, registry):
    assert runs_a_good_image(strict, registry)
    for path in ("/evil", "/etc/evil", "/out"):
        assert not pathlib.Path(path).exists()
    assert image_processes(strict) == []


def test_a_blob_that_the_registry_changes_is_refused(usual, tmp_path):
    with Registry(tmp_path / "lying") as lying:
        image = HandMade([base_layer().bytes()])
        name = image.push(lying, "test/changed")
        (blob,) = lying.directory.glob(f"storage/**/{digest_of(image.blobs[0])[7:]}/data")
        bent = bytearray(blob.read_bytes())
        bent[len(bent) // 2] ^= 1
        blob.write_bytes(bent)
        refuse(usual, "pull", "--plain-http", name, expected="IMAGE_DIGEST_MISMATCH")


def test_absolute_names_are_names_below_the_images_root(usual, registry):
    """As other tools take them."""
    layer = Layer().add("/etc/msb-absolute", b"inside\n").add("//etc//msb-slashes", b"inside\n")
    layer.add("etc/msb-link", **SYMLINK, linkname="/etc/msb-absolute")
    layer.add("etc/msb-up", **SYMLINK, linkname="../../../../etc/msb-slashes")
    layer.add("etc/msb-hard", **HARD_LINK, linkname="/etc/msb-absolute")
    name = HandMade([base_layer().bytes(), layer.bytes()]).push(registry, "test/absolute")
    shown = usual.msbctl("run", "--image", name, "--", "sh", "-c", "cat /etc/msb-*")
    assert shown.stdout == b"inside\n" * 5
    assert list(pathlib.Path("/etc").glob("msb-*")) == []
    usual.msbctl("image", "rm", name)


def test_a_layer_of_zstd_is_pulled_and_run(usual, registry):
    image = HandMade([base_layer().bytes(), Layer().add("etc/changed", b"by zstd\n").bytes()], "+zstd")
    assert all(blob.startswith(b"\x28\xb5\x2f\xfd") for blob in image.blobs)
    name = image.push(registry, "test/zstd")
    made = usual.msbctl("run", "--image", name, "--", "cat", "/etc/changed")
    assert made.stdout == b"by zstd\n"
    usual.msbctl("image", "rm", name)


def test_a_really_large_number_of_files(usual, registry):
    """300,000 are within the limit, and within a job's memory; twice as many are not."""
    many = HandMade([base_layer().bytes(), many_files(300_000)]).push(registry, "test/many")
    usual.msbctl("image", "pull", many)
    first_and_last = usual.msbctl("run", "--image", many, "--", "stat", "-c", "%s",
                                  "/many/00000000", "/many/00299999")
    assert first_and_last.stdout == b"0\n0\n"
    usual.msbctl("image", "rm", many)
    too_many = HandMade([many_files(600_000)]).push(registry, "hostile/too-many")
    refuse(usual, "pull", too_many, expected="IMAGE_TOO_LARGE", words="images.max_entries")
    assert runs_a_good_image(usual, registry)


def pour(stream, size):
    """An archive with one file of `size` bytes, as far as somebody takes it; returns how far."""
    info = tarfile.TarInfo("blobs/large")
    info.size = size
    piece, poured = os.urandom(MIB), 0
    with contextlib.suppress(BrokenPipeError):
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        while poured < size:
            stream.write(piece)
            poured += len(piece)
    with contextlib.suppress(BrokenPipeError):
        stream.close()
    return poured


def test_an_archive_that_the_store_has_no_room_for_is_not_written_first(new_daemon, registry):
    daemon = new_daemon(limits(registry, "store_mib = 64\n"))
    client = daemon.popen("image", "load", stdin=subprocess.PIPE)
    poured = []
    pouring = threading.Thread(target=lambda: poured.append(pour(client.stdin, 60 << 30)))
    pouring.start()
    told = client.stderr.read().decode()
    assert client.wait(timeout=60) == 1
    pouring.join(timeout=60)
    assert "[NO_SPACE]" in told and "images.store_mib" in told, told
    assert poured[0] < 128 * MIB, "what is on the way counts"
    assert nothing_is_left(daemon)
    assert runs_a_good_image(daemon, registry)


def test_two_archives_do_not_pass_the_stores_limit_together(new_daemon, registry):
    daemon = new_daemon(limits(registry, "store_mib = 64\n"))

    def begin_to_load():
        client = daemon.popen("image", "load", stdin=subprocess.PIPE)
        info = tarfile.TarInfo("blobs/large")
        info.size = 48 * MIB
        with contextlib.suppress(BrokenPipeError):
            client.stdin.write(info.tobuf(tarfile.GNU_FORMAT) + os.urandom(40 * MIB))
            client.stdin.flush()
        return client

    def staged():
        return sum(path.stat().st_size for path in (daemon.data / "state/images/staging").rglob("new-*"))

    first = begin_to_load()
    wait_until(lambda: staged() > 39 * MIB)
    second = begin_to_load()
    told = second.communicate(timeout=60)[1].decode()
    assert "[NO_SPACE]" in told and "images.store_mib" in told, told
    # It was there first, and ends by its own fault.
    told = first.communicate(timeout=60)[1].decode()
    assert "[IMAGE_INVALID]" in told, told
    assert nothing_is_left(daemon)
    assert runs_a_good_image(daemon, registry)


def test_the_entries_of_an_archive_are_a_setting(new_daemon, registry, tmp_path):
    image = HandMade([base_layer().bytes()])
    archive = image.archive(tmp_path / "a.tar", "many:1")
    with tarfile.open(archive, "a") as tar:
        for number in range(40_000):
            tar.addfile(tarfile.TarInfo(f"f{number}"), io.BytesIO())
    daemon = new_daemon(limits(registry))
    refuse(daemon, "load", "-i", archive, expected="IMAGE_TOO_LARGE",
           words="images.max_archive_entries")
    daemon.stop()
    daemon.config.write_text(daemon.config.read_text() + "max_archive_entries = 50000\n")
    daemon.start()
    daemon.msbctl("image", "load", "-i", archive)
    assert stored(daemon) == ["docker.io/library/many:1"]


@contextlib.contextmanager
def read_only(place):
    """What other mounts do to a store while the daemon runs."""
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_store_that_is_read_only_says_so(usual, registry, tmp_path):
    place = usual.data / "state/images"
    here = HandMade([base_layer().bytes()]).push(registry, "test/here")
    archive = HandMade([base_layer().bytes()]).archive(tmp_path / "a.tar", "good:1")
    usual.msbctl("image", "pull", here)
    with read_only(place):
        for call in (("pull", f"{registry.host}/test/good:1"), ("load", "-i", archive)):
            failed = usual.msbctl("image", *call, check=False)
            assert reason(failed) == "READ_ONLY_FILE_SYSTEM", failed.stderr
            assert str(place).encode() in failed.stderr and b"mount it writable" in failed.stderr
        made = usual.msbctl("run", "--image", here, "--pull", "never", "--", "echo", "x")
        assert made.stdout == b"x\n", "what is there runs"
    assert stored(usual) == [here] and files(usual, "staging") == []
    usual.msbctl("image", "rm", here)
    assert runs_a_good_image(usual, registry)


def test_a_program_that_is_killed_while_it_unpacks_leaves_nothing_half_visible(usual, registry):
    slow = Layer().add("pattern", compressible(512 * MIB)).bytes()
    name = HandMade([base_layer().bytes(), slow]).push(registry, "test/slow")
    client = usual.popen("--format", "json", "image", "pull", name)
    for line in client.stdout:
        progress = json.loads(line).get("progress", {})
        if progress.get("phase") == "unpacking" and int(progress.get("done_bytes", 0)) > 0:
            break
    for pid in image_processes(usual):
        os.kill(pid, signal.SIGKILL)
    _, told = client.communicate(timeout=60)
    assert client.returncode == 1 and b"IMAGE_JOB_FAILED" in told, told
    assert stored(usual) == []
    assert files(usual, "layers/sha256") == [] and files(usual, "blobs/sha256") == []
    left = [path.name for path in (usual.data / "state/images/staging").glob("*/layers/*")]
    assert not any(name.endswith(".unfinished") for name in left), left
    wait_until(lambda: image_processes(usual) == [])
    usual.msbctl("image", "pull", name)
    size = usual.msbctl("run", "--image", name, "--", "stat", "-c", "%s", "/pattern").stdout
    assert int(size) == 512 * MIB
    assert files(usual, "staging") == []
    usual.msbctl("image", "rm", name)
