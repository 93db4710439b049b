# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""msb-image pulls from Debian's docker-registry, with TLS and passwords, as the daemon would have it."""
import contextlib
import hashlib
import json
import os

import pytest
from image_job import PROGRAM, Pull, error, manifests
from registry import Registry, make_image, missing_programs, run

ANN = ("ann", "correct horse")
NOT_FOUND, PULL_FAILED, DENIED, TOO_LARGE, UNSUPPORTED = 40, 44, 45, 47, 48


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    if missing_programs():
        pytest.skip(f"needs {', '.join(missing_programs())}")
    with Registry(tmp_path_factory.mktemp("registry"), user=ANN[0], password=ANN[1],
                  tls=True) as started:
        yield started


@pytest.fixture(scope="module")
def image(registry, tmp_path_factory):
    """An image of three layers, the second of them large; its name in the registry and its digest."""
    directory = tmp_path_factory.mktemp("image")
    trees = []
    for name, content in (("one", b"1"), ("two", os.urandom(24 << 20)), ("three", b"3")):
        tree = directory / name
        tree.mkdir()
        (tree / name).write_bytes(content)
        trees.append(tree)
    source = make_image(directory / "layout", trees)
    return source, registry.push(source, "team/tool", "1.0")


def manifest_of(events):
    (found,) = manifests(events)
    return json.loads(found["manifest"]), found


def test_a_private_image_is_pulled_over_tls(registry, image, tmp_path):
    pull = Pull(tmp_path, registry, "team/tool", "1.0", ANN)
    events = pull.finish()

    manifest, found = manifest_of(events)
    assert found["digest"] == image[1]
    assert f"sha256:{hashlib.sha256(found['manifest']).hexdigest()}" == image[1]
    named = {layer["digest"] for layer in manifest["layers"]} | {manifest["config"]["digest"]}
    assert len(manifest["layers"]) == 3
    assert pull.blobs() == named == {event["blob_done"] for event in events if "blob_done" in event}
    assert events[-1]["done"]["bytes"] == sum(
        layer["size"] for layer in manifest["layers"]) + manifest["config"]["size"]


@pytest.mark.parametrize("form", ["v2s2", "oci"])
def test_docker_and_oci_manifests_with_gzip_or_zstd(registry, image, tmp_path, form):
    compression = ["--dest-compress-format", "zstd"] if form == "oci" else []
    registry.push(image[0], "team/forms", form, "--format", form, "--dest-compress", *compression)
    pull = Pull(tmp_path, registry, "team/forms", form, ANN)
    manifest, found = manifest_of(pull.finish())
    assert ("docker" in found["media_type"]) == (form == "v2s2")
    assert len(pull.blobs()) == 4


def test_a_digest_is_pinned(registry, image, tmp_path):
    _, found = manifest_of(Pull(tmp_path, registry, "team/tool", image[1], ANN).finish())
    assert found["digest"] == image[1]
    nowhere = Pull(tmp_path, registry, "team/tool", "sha256:" + "0" * 64, ANN)
    assert error(nowhere.finish())[0] == NOT_FOUND


def test_what_the_daemon_has_is_not_fetched(registry, image, tmp_path):
    first = Pull(tmp_path / "first", registry, "team/tool", "1.0", ANN)
    first.finish()
    second = Pull(tmp_path / "second", registry, "team/tool", "1.0", ANN, present=first.blobs())
    assert second.finish()[-1]["done"]["bytes"] == 0
    assert second.blobs() == set()


def parts_of(directory):
    """Large files that are on their way."""
    found = []
    for path in directory.glob("*.part"):
        with contextlib.suppress(FileNotFoundError):  # whole, and renamed
            if path.stat().st_size > 1 << 20:
                found.append(path)
    return found


def test_a_killed_pull_goes_on_where_it_was(registry, image, tmp_path):
    pull = Pull(tmp_path, registry, "team/tool", "1.0", ANN)
    # By the files: what the job tells comes later, and it does not wait for who listens.
    while not (parts := parts_of(tmp_path)):
        assert pull.job.process.poll() is None, "it has ended before it was killed"
    pull.job.process.kill()
    pull.job.process.wait()
    pull.job.hang_up()
    kept = sum(part.stat().st_size for part in parts if part.exists())

    again = Pull(tmp_path, registry, "team/tool", "1.0", ANN)
    events = again.finish()
    manifest, _ = manifest_of(events)
    total = sum(layer["size"] for layer in manifest["layers"]) + manifest["config"]["size"]
    assert len(again.blobs()) == 4
    assert events[-1]["done"]["bytes"] <= total - kept


def test_the_job_ends_when_the_daemon_hangs_up(registry, image, tmp_path):
    pull = Pull(tmp_path, registry, "team/tool", "1.0", ANN)
    assert pull.job.next_event() is not None
    pull.job.hang_up()
    assert pull.job.process.wait(timeout=5) == 3


@pytest.mark.parametrize("options, reason, words", [
    (dict(credentials=("ann", "wrong")), DENIED, "credentials"),
    (dict(credentials=("", "")), DENIED, "log in"),
    (dict(trust=False), PULL_FAILED, "certificate"),
    (dict(reference="2.0"), NOT_FOUND, "team/tool:2.0"),
    (dict(architecture="riscv64"), UNSUPPORTED, "linux/amd64"),
    (dict(endpoints=["localhost:1"]), PULL_FAILED, "refused"),
    (dict(endpoints=["no-such-host.invalid"]), PULL_FAILED, "name"),
    (dict(limits={"max_blob_bytes": 1 << 20}), TOO_LARGE, "bytes"),
    (dict(limits={"max_layers": 2}), TOO_LARGE, "layers"),
    (dict(limits={"max_image_bytes": 1 << 20}), TOO_LARGE, "in all"),
], ids=["password", "anonymous", "ca", "tag", "platform", "port", "name", "blob", "layers", "image"])
def test_errors_name_their_cause(registry, image, tmp_path, options, reason, words):
    limits = {"max_attempts": 1, **options.pop("limits", {})}
    arguments = {"reference": "1.0", "credentials": ANN, **options}
    code, message = error(Pull(tmp_path, registry, "team/tool", limits=limits, **arguments).finish())
    assert (code, words in message) == (reason, True), message


def test_a_mirror_that_fails_gives_way_to_the_registry(registry, image, tmp_path):
    pull = Pull(tmp_path, registry, "team/tool", "1.0", ANN, limits={"max_attempts": 1},
                endpoints=["localhost:1", registry.host])
    pull.finish()
    assert len(pull.blobs()) == 4


def test_an_index_gives_the_platform_that_was_asked_for(registry, image, tmp_path):
    """skopeo copies whole indexes only: one of two platforms is made by hand and pushed with curl."""
    layout = tmp_path / "layout"
    run("skopeo", "--insecure-policy", "copy", image[0], f"oci:{layout}:amd64")
    run("umoci", "tag", "--image", f"{layout}:amd64", "arm64")
    run("umoci", "config", "--image", f"{layout}:arm64", "--architecture", "arm64")
    entries = []
    for architecture in ("amd64", "arm64"):
        digest = registry.push(f"oci:{layout}:{architecture}", "team/multi", architecture)
        raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", "--creds", ":".join(ANN),
                  f"docker://{registry.host}/team/multi:{architecture}")
        entries.append({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
                        "size": len(raw), "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "manifests": entries,
                        "mediaType": "application/vnd.oci.image.index.v1+json"}).encode()
    run("curl", "-sSfk", "-u", ":".join(ANN), "-X", "PUT", "--data-binary", "@-", "-H",
        "Content-Type: application/vnd.oci.image.index.v1+json",
        f"https://{registry.host}/v2/team/multi/manifests/all", input=index)

    for number, architecture in enumerate(("amd64", "arm64")):
        pull = Pull(tmp_path / architecture, registry, "team/multi", "all", ANN,
                    architecture=architecture)
        _, found = manifest_of(pull.finish())
        assert found["index"] == index
        assert found["digest"] == f"sha256:{hashlib.sha256(index).hexdigest()}"
        assert hashlib.sha256(found["manifest"]).hexdigest() in entries[number]["digest"]


def test_it_needs_nothing_of_the_host_but_what_names_are_looked_up_with(registry, image, tmp_path):
    """Static, in a root with three files, as a user without rights."""
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "etc").mkdir(parents=True)
    (root / "msb-image").write_bytes(PROGRAM.read_bytes())
    (root / "msb-image").chmod(0o755)
    (root / "etc/hosts").write_text("127.0.0.1 registry.test localhost\n")
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    out.mkdir()
    os.chown(out, 65534, 65534)

    def confine():
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    pull = Pull(out, registry, "team/tool", "1.0", ANN, program=["/msb-image"], prepare=confine)
    assert "done" in pull.finish()[-1]
    assert len(pull.blobs()) == 4
